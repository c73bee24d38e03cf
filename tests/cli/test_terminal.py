"""Output whose reader goes away ends; what writes it goes on."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from polyray.cli.terminal import LosableStream

WRITER = """
import os
import sys
from polyray.cli.terminal import losable_output
from rich.console import Console
from rich.progress import Progress
with losable_output():
    console = Console(force_terminal=True)
    with Progress(console=console, refresh_per_second=1000) as display:
        bar = display.add_task("training", total=1000)
        os.write(2, b"ready\\n")  # the display has taken sys.stderr
        sys.stdin.readline()
        for _ in range(1000):
            display.update(bar, advance=1, refresh=True)
    print("to nobody")
open(sys.argv[1], "w").write("done")
"""


def test_a_stream_whose_terminal_is_gone_takes_everything_and_is_no_terminal() -> None:
    controller, terminal = os.openpty()
    with open(terminal, "w", encoding="utf-8") as inner:
        stream = LosableStream(inner)
        assert stream.isatty() and stream.encoding == "utf-8" and stream.write("shown\n") == 6
        stream.flush()
        assert os.read(controller, 100) == b"shown\r\n"
        os.close(controller)
        for _ in range(3):
            assert stream.write("lost\n") == 5
            stream.flush()
        assert stream.lost and not stream.isatty()


def test_a_closed_stream_is_lost_and_a_character_that_it_lacks_is_an_error() -> None:
    ascii_only = LosableStream(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with pytest.raises(UnicodeEncodeError):
        ascii_only.write("ü")
    assert not ascii_only.lost
    closed = io.StringIO()
    closed.close()
    stream = LosableStream(closed)
    stream.write("text")
    assert stream.lost


def test_a_process_whose_terminal_is_closed_shows_its_bars_to_nobody_and_ends_as_it_should(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "end")], stdin=subprocess.PIPE, stdout=terminal,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(terminal)
        assert process.stderr is not None and process.stdin is not None
        assert process.stderr.readline() == "ready\n"
        os.close(controller)
        _, errors = process.communicate("go\n")
    assert (process.returncode, errors) == (0, "")
    assert (tmp_path / "end").read_text() == "done"
