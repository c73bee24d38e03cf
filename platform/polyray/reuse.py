"""Objects that one process makes once for many runs, such as suites and backbones; nothing is kept unless asked for."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
SIZE = 8  # a suite, a backbone and two sets of encoded examples, for each of two kinds of run


class Shelf:
    """The objects that were used last, by their keys; the one that was not used for longest makes room."""

    def __init__(self, size: int = SIZE) -> None:
        self._size, self._objects = size, OrderedDict[Hashable, Any]()

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        """The object of this key, made if it is not there; an error of `make` leaves nothing behind."""
        if key not in self._objects:
            self._objects[key] = make()
            while len(self._objects) > self._size:
                self._objects.popitem(last=False)
        self._objects.move_to_end(key)
        value: T = self._objects[key]
        return value


_SHELF: ContextVar[Shelf | None] = ContextVar("shelf", default=None)


@contextmanager
def reusing(shelf: Shelf) -> Iterator[None]:
    """Within the block, `reused` looks on `shelf` first; files that change meanwhile are not read again."""
    token = _SHELF.set(shelf)
    try:
        yield
    finally:
        _SHELF.reset(token)


def is_reusing() -> bool:
    """Whether objects are kept now."""
    return _SHELF.get() is not None


def reused(key: Hashable, make: Callable[[], T]) -> T:
    """The object that `make` makes, or an equal one made earlier under the same key; nobody may change it."""
    shelf = _SHELF.get()
    return make() if shelf is None else shelf.take(key, make)
