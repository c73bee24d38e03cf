"""Analysis of learned allocations: their shape, the hierarchy of tasks, and the recovery of planted skills."""
