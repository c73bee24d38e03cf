"""Ray's processes out of reach of the signals that a terminal or a scheduler sends to their driver's process group.

`timeout`, `kill -- -GROUP`, a terminal that closes and most schedulers signal every process of the driver's group, and
Ray's control store and raylet would end before the run has saved its checkpoint.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

IGNORED = (signal.SIGHUP, signal.SIGUSR1)  # programs that they start ignore them, too, unless they say otherwise
_detached = ContextVar("_detached", default=False)


@contextmanager
def children_detached() -> Iterator[None]:
    """Processes that this thread forks within the block lead process groups of their own and ignore SIGHUP, SIGUSR1.

    Python calls the hook below in forks and in those starts of programs that run Python between fork and exec, as Ray's
    do (`preexec_fn`).
    """
    token = _detached.set(True)
    try:
        yield
    finally:
        _detached.reset(token)


def _detach() -> None:
    if _detached.get():
        os.setpgid(0, 0)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)


os.register_at_fork(after_in_child=_detach)
