"""Analysis of learned allocations."""
