"""Settings of the allocator by which a training process reuses the memory that it frees."""

KEEP_FREED = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Environment variables with which a process keeps freed memory for its next step; only glibc reads them.

Every training step allocates tens of megabytes of gradients at once and frees them. By default glibc returns them to
the system, which hands them out again page by page: 9,000 page faults, a tenth of a step, with 32 skills of rank 16.
There is one arena because glibc returns the memory of a thread's arena in any case, and Ray Train trains in a thread.
"""
