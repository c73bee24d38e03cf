"""Tables of scores on a console; names in them are shown as they are, whatever markup they look like."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from polyray.reports.labels import own_metric


def print_table(
    console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[str]], last: Sequence[str],
    *, texts: Sequence[str] = ("task", "level"),
) -> None:  # fmt: skip
    """Print a table, its last row below a line.

    Args:
        texts: names of columns that stand to the left; numbers stand to the right.
    """
    table = Table(title=Text(title))
    for name in header:
        table.add_column(Text(name), justify="left" if name in texts else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    table.add_section()
    table.add_row(*map(Text, last))
    console.print(table)


def print_note(console: Console, note: str) -> None:
    """Print a sentence as it is; an empty one not at all."""
    if note:
        console.print(note, markup=False, emoji=False, highlight=False, soft_wrap=True)


def print_scores(console: Console, metrics: Mapping[str, Any]) -> None:
    """Print the score of each task and their mean.

    Args:
        metrics: those of a run: "mean", and "tasks" with {metric: value}, the task's own metric first.
    """
    rows = []
    for name, values in metrics["tasks"].items():
        metric, score, details = own_metric(values)
        rows.append([name, metric, f"{score:.1f}", details])
    header, last = ["task", "metric", "score", "details"], ["mean", "", f"{100 * metrics['mean']:.1f}", ""]
    print_table(console, "Scores", header, rows, last, texts=("task", "metric", "details"))
