"""All configurations, one after the other."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import ClassVar

from polyray.errors import InputError
from polyray.sweeps.fields import Value
from polyray.sweeps.searchers.searcher import Search, Trial
from polyray.sweeps.space import Space

LARGEST = 100_000  # configurations


class GridSearcher:
    """The product of all fields' values; the last field varies fastest, and one that is not read does not count."""

    about: ClassVar[str] = "tries all configurations in order"
    learns: ClassVar[bool] = False
    reads: ClassVar[tuple[str, ...]] = ()

    def __init__(self, search: Search) -> None:
        """List the grid.

        Raises:
            InputError: a field is continuous, or there are more than 100,000 configurations.
        """
        space = search.space
        for name, field in space.fields.items():
            try:
                field.grid()
            except InputError as error:
                raise InputError(
                    f"The searcher grid cannot list the values of {name}: {error}. Use `choice`, `grid` or a step "
                    "in the space, or another searcher."
                ) from None
        self._all = list(islice(_product(space, space.order, {}), LARGEST + 1))
        if len(self._all) > LARGEST:
            raise InputError(f"The grid has more than {LARGEST} configurations: use fewer values, or another searcher.")

    def __len__(self) -> int:
        return len(self._all)

    def ask(self, number: int, trials: Sequence[Trial]) -> dict[str, Value] | None:
        """Configuration `number` of the grid; None behind the last."""
        return dict(self._all[number]) if number < len(self._all) else None


def _product(space: Space, names: Sequence[str], values: dict[str, Value]) -> Iterator[dict[str, Value]]:
    """All ways to go on from `values` with the fields `names`."""
    if not names:
        yield values
        return
    name, *rest = names
    if not space.is_read(name, values):
        yield from _product(space, rest, values)
        return
    for value in space.fields[name].grid():
        yield from _product(space, rest, {**values, name: value})
