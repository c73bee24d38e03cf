"""Compilation by numba, with a cache on disk that is valid until one of the compiled sources changes.

numba's own cache compares the file of the called function alone. A function whose callee stands in another file would
therefore go on with the callee's old code. Here the cache's key holds a digest of every file with compiled functions.

The cache stands beside the sources, else in the user's cache folder, or in NUMBA_CACHE_DIR. Where none of them can be
written, every process compiles anew, which takes it some ten seconds, and says so once.
"""

import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_ENVS = Path(__file__).parents[1]
_SOURCES = (
    *("missions.py", "engine/actions.py", "engine/kernels.py", "engine/observe.py", "engine/state.py"),
    *("engine/verify.py", "generation/*.py", "starts/fingerprints.py", "starts/native.py"),
)
_DIGEST = hashlib.sha256(
    b"".join(path.read_bytes() for pattern in _SOURCES for path in sorted(_ENVS.glob(pattern)))
).hexdigest()


class _Cache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _DIGEST)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except OSError as error:  # such as a file that only another user may read
            return self._give_up(error)

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:  # such as a disk that has become full since the import
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.disable()
        _say_uncached(str(error))


@functools.cache  # once for each reason
def _say_uncached(reason: str) -> None:
    logging.getLogger(__name__).warning(
        "Compiled code is not cached (%s): this process compiles it anew, for some ten seconds. "
        "Set NUMBA_CACHE_DIR to a folder that can be written.",
        reason,
    )


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function that other compiled functions call; its machine code becomes part of theirs."""
    return njit(nogil=True)(function)


def compiled_entry(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function that Python calls, and cache it on disk, beside its source where that is writable."""
    dispatcher: Any = njit(nogil=True)(function)
    try:
        dispatcher._cache = _Cache(function)  # as njit(cache=True) does, but with numba's default FunctionCache
    except RuntimeError:  # numba's "no locator available": there is no folder that can be written
        _say_uncached("no folder for it can be written")
    typed: Callable[Parameters, Result] = dispatcher
    return typed
