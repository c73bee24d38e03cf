"""A sweep shown: one page from its files, and tables in the terminal while it runs."""
