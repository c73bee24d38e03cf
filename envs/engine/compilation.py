"""Compilation by numba, with a cache on disk that is valid until one of the compiled sources changes.

numba's own cache compares the file of the called function alone. A function whose callee stands in another file would
therefore go on with the callee's old code. Here the cache's key holds a digest of every file with compiled functions.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_ENVS = Path(__file__).parents[1]
_SOURCES = ("missions.py", "engine/*.py", "generation/*.py", "starts/*.py")
_DIGEST = hashlib.sha256(
    b"".join(path.read_bytes() for pattern in _SOURCES for path in sorted(_ENVS.glob(pattern)))
).hexdigest()


class _Cache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _DIGEST)


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function that other compiled functions call; its machine code becomes part of theirs."""
    return njit(nogil=True)(function)


def compiled_entry(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function that Python calls, and cache it on disk, beside its source where that is writable."""
    dispatcher: Any = njit(nogil=True)(function)
    dispatcher._cache = _Cache(function)  # as njit(cache=True) does, but with numba's default FunctionCache
    typed: Callable[Parameters, Result] = dispatcher
    return typed
