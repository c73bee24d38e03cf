"""How large a sweep can become: sizes and costs that are measured, and what they add up to on many nodes."""
