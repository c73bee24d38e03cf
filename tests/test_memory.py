"""Memory that a step frees is there for the next one."""

import os
import subprocess
import sys
from platform import libc_ver

import pytest

from polyray.memory import KEEP_FREED

STEPS = """
import resource, threading

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    taken = [bytearray(1 << 20) for _ in range(100)]
    del taken
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

thread = threading.Thread(target=lambda: print(*[step() for _ in range(4)]))
thread.start()
thread.join()
"""


def faults(**environment: str) -> list[int]:
    """Page faults of each of four steps that take and free 100 MB, in a thread of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="only glibc's malloc reads these variables")
def test_a_step_that_takes_what_the_one_before_it_freed_has_hardly_a_page_fault() -> None:
    assert max(faults(**KEEP_FREED)[1:]) < 100
