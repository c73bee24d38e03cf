"""What a process does with memory that it has freed."""

import ctypes
from platform import libc_ver

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGEST = 32 << 20  # the largest MMAP_THRESHOLD that glibc takes


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for the next step; does nothing where the C library is not glibc.

    A training step frees what the one before it took, tens of megabytes of gradients at once. glibc gives them back to
    the system, which hands them out anew page by page: 9,000 page faults, a tenth of a step with 32 skills of rank 16.
    """
    if libc_ver()[0] != "glibc":
        return
    malloc = ctypes.CDLL(None)
    malloc.mallopt(MMAP_THRESHOLD, LARGEST)
    malloc.mallopt(TRIM_THRESHOLD, 1 << 30)
