"""Progress is followed by whole lines of the files that runs write."""

import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from polyray.progress import PROGRESS, follow, last_line


def test_the_last_whole_line_counts_and_one_that_is_being_written_does_not(tmp_path: Path) -> None:
    file = tmp_path / PROGRESS
    assert last_line(file) is None
    file.write_text('{"step": 1')
    assert last_line(file) is None
    file.write_text('{"step": 1}\n{"step": 2}\n{"step": 3')
    assert last_line(file) == {"step": 2}


def test_a_line_at_the_end_of_a_long_file_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / PROGRESS
    line = {f"figure-{number}": float(number) for number in range(1000)}
    file.write_text("x" * 100_000 + "\n" + json.dumps(line) + "\n")
    assert last_line(file) == line


def test_a_line_that_is_no_json_is_left_out(tmp_path: Path) -> None:
    (tmp_path / PROGRESS).write_text("half of a li\n")
    assert last_line(tmp_path / PROGRESS) is None


def test_runs_are_followed_until_none_is_left_and_their_last_lines_are_shown(tmp_path: Path) -> None:
    losses = iter([(1, 4.0), (2, None), (3, 1.25)])  # a loss that is not finite is written as null

    def running() -> bool:
        step, loss = next(losses)
        line = {"step": step, "loss": loss, "tokens_per_second": 1000.0}
        (tmp_path / PROGRESS).write_text(json.dumps(line) + "\n")
        return step < 3

    output = StringIO()
    console = Console(file=output, width=120, force_terminal=True, color_system=None)
    follow({"shared": (tmp_path, 3), "private": (tmp_path / "none", 3)}, running, console)
    assert next(losses, None) is None
    shown = output.getvalue()
    assert "3/3" in shown and "loss 1.250  1,000 tokens/s" in shown


def test_a_validation_score_is_shown_beside_the_loss_and_before_the_first_one(tmp_path: Path) -> None:
    lines = iter([{"validation": 0.5}, {"loss": 2.0, "validation": 0.75}])

    def running() -> bool:
        line = next(lines, None)
        if line is not None:
            (tmp_path / PROGRESS).write_text(json.dumps({"step": 1, **line, "tokens_per_second": 9.0}) + "\n")
        return line is not None

    output = StringIO()
    console = Console(file=output, width=120, force_terminal=True, color_system=None)
    follow({"shared": (tmp_path, 3)}, running, console)
    shown = output.getvalue()
    assert "validation 0.500  9 tokens/s" in shown and "loss 2.000  validation 0.750  9 tokens/s" in shown
