"""A run that a signal ends: its status, its message, its exit code."""

import os
import signal
import time
from pathlib import Path

import pytest
from launch_cases import Config, launch, stored

from polyray.errors import Interrupted, RunError
from polyray.runs.job import Result
from polyray.runs.run import Run

pytestmark = pytest.mark.usefixtures("usual_signals")


def test_a_signal_is_a_wish_to_stop_and_decides_the_exit_code(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):

        def save_and_stop(config: Config, run: Run, number: int = number) -> Result:
            os.kill(os.getpid(), number)
            while not run.stop_requested:
                time.sleep(0.01)
            raise Interrupted("Stopped after 7 steps, as asked.")

        out = tmp_path / str(number)
        with pytest.raises(Interrupted, match=r"Stopped after 7 steps, as asked\. Resume with: polyray run") as caught:
            launch(out, save_and_stop)
        assert caught.value.exit_code == 128 + number and stored(out)["status"] == "interrupted"
        launch(out)
        assert stored(out)["status"] == "done"


def test_a_failure_after_a_signal_is_an_interruption_whose_log_has_the_reason(tmp_path: Path) -> None:
    def fail(config: Config, run: Run) -> Result:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RunError("Ray's processes got the signal, too")

    with pytest.raises(Interrupted, match="no checkpoint could be saved.*Resume with") as caught:
        launch(tmp_path, fail)
    assert caught.value.exit_code == 143 and stored(tmp_path)["status"] == "interrupted"
    assert "Ray's processes got the signal" in (tmp_path / "log.txt").read_text(encoding="utf-8")
