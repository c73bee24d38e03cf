"""Cost of a sweep beside its trials, and of its driver where there are many."""
