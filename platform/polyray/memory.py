"""What a process does with memory that it has freed."""

KEEP_FREED = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Environment variables with which a process keeps what it frees, for its next step; only glibc reads them.

A training step frees what the one before it took, tens of megabytes of gradients at once. glibc gives them back to the
system, which hands them out anew page by page: 9,000 page faults, a tenth of a step, with 32 skills of rank 16. One
arena, because those of threads (Ray Train trains in one) are given back in any case.
"""
