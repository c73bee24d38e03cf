"""Processes forked from the test's own, so that their imports are done already."""

import os
import sys
import traceback
from collections.abc import Callable


def in_child(action: Callable[[], object]) -> int:
    """Run `action` in a forked process; returns its number at once."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        action()
        code = 0
    except BaseException:  # of any kind: the process ends here, and nobody else would show it
        traceback.print_exc()
        sys.stderr.flush()
        raise
    finally:
        os._exit(code)
