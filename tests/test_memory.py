"""Memory that a step frees is there for the next one."""

import os
import resource
from platform import libc_ver

import pytest
import torch

from polyray.memory import keep_freed_memory


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="only glibc's malloc is told to keep memory")
def test_a_step_that_takes_what_the_one_before_it_freed_has_no_page_faults() -> None:
    child = os.fork()
    if not child:
        code = 1
        try:
            keep_freed_memory()
            for _ in range(2):
                take_and_free()
            code = int(take_and_free() > 100)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def take_and_free() -> int:
    """Page faults while 64 MB are taken in pieces of 1 MB, and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    taken = [torch.zeros(1 << 18) for _ in range(64)]
    del taken
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
