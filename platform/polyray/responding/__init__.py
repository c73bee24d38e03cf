"""Systems that answer: one network as it is, or several networks and skills together."""
