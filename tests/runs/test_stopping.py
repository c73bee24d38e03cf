"""Signals ask a run to stop, interrupt it where it does not, and do afterwards what they did before."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from polyray.errors import InputError
from polyray.runs import stopping
from polyray.runs.stopping import SIGNALS, TWICE, StopRequest

pytestmark = pytest.mark.usefixtures("usual_signals")


def send(number: int, wait: float = 0.0) -> None:
    os.kill(os.getpid(), number)
    time.sleep(wait)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_first_signal_asks_and_handlers_are_put_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    for number in SIGNALS:
        lines: list[str] = []
        file = tmp_path / f"stop-{number}"
        with stopping.stopping(file, lines.append) as request:
            assert request.number is None and not file.exists()
            send(number)
            wait_until(file.exists)
            send(number)  # as `timeout` and shells do, at once
            first: int | None = request.number  # set by the handler, which the type checker does not see
            assert first == number
        (line,) = lines
        assert line.startswith(f"{signal.Signals(number).name}: ending after the next checkpoint")
        assert ("Ctrl-C" in line) == (number == signal.SIGINT)
        assert request.interrupted("why").exit_code == 128 + number
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_only_another_ctrl_c_interrupts_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "TWICE", TWICE / 20)
    with stopping.stopping(tmp_path / "stop", print) as request:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            send(number)
            time.sleep(TWICE / 10)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        send(signal.SIGINT)  # the run ends already
        assert request.number == signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_reaches_no_checkpoint_is_interrupted_when_the_grace_is_over(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYRAY_GRACE", "0.02")
    lines: list[str] = []
    started = time.monotonic()
    with stopping.stopping(tmp_path / "stop", lines.append), pytest.raises(KeyboardInterrupt):
        send(number, wait=20)
    assert time.monotonic() - started < 20 and "no checkpoint was reached in time" in lines[-1]


def test_ctrl_c_and_a_schedulers_early_warning_wait_for_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYRAY_GRACE", "0")
    for number in (signal.SIGINT, signal.SIGUSR1):
        with stopping.stopping(tmp_path / "stop", print):
            send(number)
            time.sleep(0.05)


def test_a_stop_file_that_cannot_be_written_interrupts(tmp_path: Path) -> None:
    lines: list[str] = []
    with stopping.stopping(tmp_path / "nowhere" / "stop", lines.append), pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT, wait=20)
    assert "nowhere/stop: No such file or directory" in lines[-1]


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        with stopping.stopping(tmp_path / "stop", print) as request:
            send(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert request.number is None and not (tmp_path / "stop").exists()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_grace_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("soon", "-1", "nan", "inf"):
        monkeypatch.setenv("POLYRAY_GRACE", text)
        with pytest.raises(InputError, match=f"POLYRAY_GRACE='{text}'"), stopping.stopping(tmp_path / "stop", print):
            pass


def test_a_request_without_a_signal_ends_as_ctrl_c_does(tmp_path: Path) -> None:
    request = StopRequest(tmp_path / "stop", 1.0, print)
    request.close()
    assert request.interrupted("by the stop file").exit_code == 130
