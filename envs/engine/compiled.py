"""How the engine's functions are compiled, and what was compiled is kept: for as long as none of its sources changes.

numba's own cache looks at the file of a function alone, so that one whose callee lives in another file would go on with
the callee's old code. Here only what Python calls is kept, under the sum of all sources; what it calls is part of it.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_FOLDER = Path(__file__).parent
_SOURCES = hashlib.sha256(
    b"".join(
        path.read_bytes()
        for path in (
            *sorted(_FOLDER.glob("*.py")),
            *(_FOLDER.parent / name for name in ("fingerprints.py", "missions.py")),
        )
    )
).hexdigest()


class _Cache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _SOURCES)


def part(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compiles a function that only compiled functions call."""
    return njit(nogil=True)(function)


def entry(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compiles a function that Python calls, and keeps the result on disk, beside its source where that is writable."""
    compiled: Any = njit(nogil=True)(function)
    compiled._cache = _Cache(function)  # what njit(cache=True) does, with numba's own FunctionCache
    kept: Callable[Parameters, Result] = compiled
    return kept
