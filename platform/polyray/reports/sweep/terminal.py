"""A sweep in the terminal: its best trials, a map of both rates, and the trials that were lost."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from polyray.sweeps.positions import position
from polyray.sweeps.rates import rate_fields
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.wording import goal_text, progress_text, short_fields, value_text

COLOURS = {"done": "green", "running": "cyan", "stopped": "yellow", "failed": "red", "waiting": "dim"}
MAP_WIDTH, MAP_HEIGHT = 32, 10  # characters
MARGIN = 9  # lines beside the rows of a table


def overview(record: SweepRecord, height: int) -> RenderableType:
    """The table of trials, the map and the trials that were begun again, within about `height` lines."""
    rates, again = rates_map(record), lost_trials(record)
    rest = sum(len(text.plain.splitlines()) + 1 for text in (rates, again) if text is not None)
    if rest + MARGIN + 5 > height:  # the table first
        rates, rest = None, 0
    table = trials_table(record, max(3, height - rest - MARGIN))
    return Group(table, *(text for text in (rates, again) if text is not None))


def trials_table(record: SweepRecord, n_rows: int) -> Table:
    """The best `n_rows` trials: fields that vary, goal, steps and state."""
    names = record.varied
    labels = short_fields(names)
    table = Table(title=Text(f"{record.job} {record.name}: {progress_text(record)}"), title_justify="left")
    for name in ("trial", *(labels[name] for name in names), record.goals[0].name, "steps", "state"):
        table.add_column(Text(name), justify="left" if name == "state" else "right", overflow="ellipsis", no_wrap=True)
    for row in record.ranked[:n_rows]:
        fields = [value_text(row.fields.get(name)) for name in names]
        state = Text(f"{row.state}: {row.reason}" if row.reason else row.state, style=COLOURS[row.state])
        table.add_row(*map(Text, (str(row.number), *fields, goal_text(row), str(row.step))), state)
    if len(record.rows) > n_rows:
        table.caption = Text(f"and {len(record.rows) - n_rows} more")
    return table


def rates_map(record: SweepRecord) -> Text | None:
    """Both rates on logarithmic axes: the best goal in each cell from 0 to 9, * the best trial, x failed ones only."""
    names = rate_fields(record.space)
    rows = [row for row in record.ranked if row.state == "failed" or row.goal is not None]
    if names is None or not rows:
        return None
    cells: dict[tuple[int, int], str] = {}
    signs = _signs(record, rows)
    for row in reversed(rows):  # the best in a cell wins
        cells[_cell(record, row, names)] = signs[row.number]
    (left, right), (bottom, top) = (_end_labels(record, name) for name in names)
    margin = max(len(top), len(bottom))
    lines = [f"{names[1]} by {names[0]}, 0 worst to 9 best {record.goals[0].name}, * best trial, x failed"]
    for height in reversed(range(MAP_HEIGHT)):
        label = {MAP_HEIGHT - 1: top, 0: bottom}.get(height, "")
        lines.append(f"{label:>{margin}} |" + "".join(cells.get((column, height), " ") for column in range(MAP_WIDTH)))
    lines.append(" " * margin + " +" + "-" * MAP_WIDTH)
    lines.append(" " * (margin + 2) + left + right.rjust(MAP_WIDTH - len(left)))
    return Text("\n".join(lines))


def lost_trials(record: SweepRecord) -> Text | None:
    """One line on trials that were begun more than once; None where there are none."""
    again = [row for row in record.rows if row.was_begun_again]
    if not again:
        return None
    names = ", ".join(f"{row.number} ({row.starts} starts, {row.state})" for row in again[:10])
    more = f" and {len(again) - 10} more" if len(again) > 10 else ""
    return Text(f"Begun again after a loss or failure: trial {names}{more}")


def print_ends(console: Console, before: SweepRecord | None, record: SweepRecord) -> None:
    """A plain line for each trial that has ended since `before`."""
    ended = {row.number for row in before.rows if row.has_ended} if before is not None else set()
    best = record.best
    leader = f"; best {goal_text(best)} (trial {best.number})" if best is not None else ""
    progress = progress_text(record)  # counts all rows
    for row in record.rows:
        if row.has_ended and row.number not in ended:
            goal = f"{record.goals[0].name} {goal_text(row)}" if row.goal is not None else "no goal"
            details = ", ".join(filter(None, (goal, row.reason)))
            text = f"trial {row.number} {row.state}: {details}{leader}; {progress}"
            console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _cell(record: SweepRecord, row: TrialRow, names: tuple[str, str]) -> tuple[int, int]:
    """Column and height of a trial in the map."""
    x, y = (position(record.space.fields[name], row.fields[name]) for name in names)
    return round(x * (MAP_WIDTH - 1)), round(y * (MAP_HEIGHT - 1))


def _signs(record: SweepRecord, rows: Sequence[TrialRow]) -> dict[int, str]:
    """The sign of each trial on the map, by its number."""
    goals = {row.number: row.goal for row in rows if row.goal is not None and row.state != "failed"}
    low, high = min(goals.values(), default=0.0), max(goals.values(), default=0.0)
    bad, good = (low, high) if record.goals[0].mode == "max" else (high, low)
    signs = {row.number: "x" for row in rows}
    for number, goal in goals.items():
        signs[number] = str(round(9 * (goal - bad) / (good - bad))) if good != bad else "9"
    return signs | ({record.best.number: "*"} if record.best is not None else {})


def _end_labels(record: SweepRecord, name: str) -> tuple[str, str]:
    low, *_, high = record.space.fields[name].ends()
    return value_text(low), value_text(high)
