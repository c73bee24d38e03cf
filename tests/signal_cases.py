"""Signals as an interactive shell leaves them: `nohup`, and `&` in a script, let processes ignore some."""

import signal

from polyray.runs.stopping import SIGNALS


def handle_signals_as_usual() -> None:
    """Let the signals that end a run do what they do in a terminal."""
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
