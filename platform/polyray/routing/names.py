"""Tasks by name: a router's rows are found by name, never by position."""

from collections.abc import Sequence

from torch import Tensor

from polyray.errors import InputError
from polyray.lookup import suggestion


class TaskNames:
    """The tasks that a router knows, in the order of its rows."""

    def __init__(self, names: Sequence[str]) -> None:
        if len(set(names)) != len(names) or not names:
            raise InputError(f"A router needs tasks with distinct names, found {list(names)!r}.")
        self.names = tuple(names)
        self._row = {name: row for row, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, tasks: Sequence[str] | Tensor) -> list[int]:
        """The row of every task, given by names or as a tensor of rows [batch].

        Raises:
            InputError: a name is unknown (the message gives the nearest), or a row lies outside the table.
        """
        if isinstance(tasks, Tensor):
            rows = tasks.tolist()
            if rows and not (0 <= min(rows) and max(rows) < len(self.names)):
                raise InputError(f"Task rows must lie in 0 to {len(self.names) - 1}, found {min(rows)} to {max(rows)}.")
            return [int(row) for row in rows]
        try:
            return [self._row[task] for task in tasks]
        except KeyError:
            unknown = next(task for task in tasks if task not in self._row)
            raise InputError(f"No task is called {unknown!r}. {suggestion(unknown, self.names)}") from None

    def with_new(self, name: str) -> "TaskNames":
        """These names and one more at the end.

        Raises:
            InputError: the name is taken.
        """
        if name in self._row:
            raise InputError(f"The router has a task called {name!r} already.")
        return TaskNames([*self.names, name])


def distinct(rows: Sequence[int]) -> tuple[list[int], list[int]]:
    """The distinct rows in ascending order, and for each row its index among them."""
    ascending = sorted(set(rows))
    index = {row: number for number, row in enumerate(ascending)}
    return ascending, [index[row] for row in rows]
