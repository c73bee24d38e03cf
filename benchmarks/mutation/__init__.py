"""Mutation testing: small changes of the library, one at a time, and whether a test fails for each."""
