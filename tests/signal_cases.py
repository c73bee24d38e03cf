"""Signals as an interactive shell leaves them: `nohup`, and `&` in a script, let processes ignore some."""

import signal


def handle_signals_as_usual() -> None:
    """Let the signals that end a run do what they do in a terminal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
