"""Progress bars, and a display that follows runs in other processes by the files that they write."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PROGRESS = "progress.jsonl"
TAIL = 1 << 16  # bytes at the end of a file among which its last line is looked for


def bars(console: Console) -> Progress:
    """Make a display of progress bars; each has a field `note` for a text such as loss and speed."""
    return Progress(
        TextColumn("{task.description}", markup=False), BarColumn(bar_width=None), MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        console=console, transient=not console.is_terminal,
    )  # fmt: skip


def follow(runs: Mapping[str, tuple[Path, int]], running: Callable[[], bool], console: Console) -> None:
    """Show the progress of `runs`, {name: (folder, steps)}, until `running` answers that none is left."""
    with bars(console) as display:
        lines = {name: display.add_task(name, total=steps, note="starting") for name, (_, steps) in runs.items()}
        alive = True
        while alive:
            alive = running()
            for name, (folder, _) in runs.items():
                last = last_line(folder / PROGRESS)
                if last is not None:
                    display.update(lines[name], completed=last.get("done", last["step"]), note=_note(last))
            time.sleep(0.2 if alive else 0)


def _note(line: Mapping[str, Any]) -> str:
    """The figures of a line of progress: loss and validation score, once there are some, and the speed."""
    shown = [
        f"{name} {'not finite' if line[name] is None else format(line[name], '.3f')}"
        for name in ("loss", "validation")
        if name in line
    ]
    return "  ".join([*shown, f"{line['tokens_per_second']:,.0f} tokens/s"])


def last_line(file: Path) -> dict[str, Any] | None:
    """Last whole line of a JSON-lines file, None where there is none or it is no JSON."""
    try:
        with file.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL))
            lines = stream.read().split(b"\n")[:-1]
    except OSError:
        return None
    if not lines:
        return None
    try:
        line: dict[str, Any] = json.loads(lines[-1])
    except ValueError:
        return None
    return line
