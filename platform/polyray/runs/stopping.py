"""Signals that end a run: the run is asked to save a checkpoint and to end, and is interrupted where it does not."""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from polyray.errors import InputError, Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
URGENT = (signal.SIGTERM, signal.SIGHUP)  # whoever sends these kills soon after
GRACE, GRACE_VARIABLE = 25.0, "POLYRAY_GRACE"  # seconds; SLURM and Kubernetes kill after 30 unless told otherwise
AGAIN = 0.2  # seconds between two signals to the main thread
TWICE = 0.5  # seconds after which another Ctrl-C counts; a shell and a terminal may both send the first one


class StopRequest:
    """The wish that a run ends, from the first signal on.

    The first signal touches the run's stop file, at which the run saves a checkpoint and raises Interrupted. Ctrl-C
    again, or the end of the grace after SIGTERM and SIGHUP, interrupts it where it is: its newest checkpoint stays.

    Attributes:
        number: the first signal, None before it came.
    """

    def __init__(self, stop_file: Path, grace: float, announce: Callable[[str], object]) -> None:
        """A request that nobody has made yet.

        Args:
            stop_file: see `Run.stop_file`.
            grace: seconds from SIGTERM or SIGHUP to the interruption.
            announce: shows a line to the user; called in a thread.
        """
        self.number: int | None = None
        self._stop_file, self._grace, self._announce = stop_file, grace, announce
        self._since, self._late, self._over = 0.0, False, False
        self._signals: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # `put` may be called by a signal's handler
        self._watch = threading.Thread(target=self._follow, daemon=True)
        self._watch.start()

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            KeyboardInterrupt: it is Ctrl-C for the second time, or the grace is over.
        """
        if self._over:
            return
        again = self.number is not None and time.monotonic() - self._since >= TWICE
        if self._late or (again and number == signal.SIGINT):
            self._over = True
            raise KeyboardInterrupt
        if self.number is None:
            self.number, self._since = number, time.monotonic()
        self._signals.put(number)

    def close(self) -> None:
        """Let further signals be without effect: the run ends already."""
        self._over = True
        self._signals.put(None)
        self._watch.join()

    def interrupted(self, message: str, number: int = signal.SIGINT) -> Interrupted:
        """The error with which the process ends as its signal says, or `number` where this request saw none."""
        return Interrupted(message, number if self.number is None else self.number)

    def _follow(self) -> None:
        """Ask the run to stop at the first signal, and interrupt it when the grace is over."""
        deadline: float | None = None
        asked = False
        while True:
            try:
                number = self._signals.get(timeout=None if deadline is None else max(0, deadline - time.monotonic()))
            except queue.Empty:
                self._interrupt("no checkpoint was reached in time")
                return
            if number is None:
                return
            if number in URGENT and deadline is None:
                deadline = time.monotonic() + self._grace
            if not asked:
                asked = True
                self._ask(number)

    def _ask(self, number: int) -> None:
        again = "; press Ctrl-C again to end at once" if number == signal.SIGINT else ""
        self._announce(f"{signal.Signals(number).name}: ending after the next checkpoint{again}.")
        try:
            self._stop_file.touch()
        except OSError as error:
            self._interrupt(f"cannot write {self._stop_file}: {error.strerror}")

    def _interrupt(self, reason: str) -> None:
        """Raise KeyboardInterrupt in the main thread, also where it waits in a call of the operating system."""
        self._announce(f"Ending at once: {reason}.")
        self._late = True
        identifier = threading.main_thread().ident
        while not self._over and identifier is not None and self.number is not None:
            signal.pthread_kill(identifier, self.number)  # not SIGINT, which may be ignored
            time.sleep(AGAIN)  # one that comes just before a call of the operating system does not end the call


@contextmanager
def stopping(stop_file: Path, announce: Callable[[str], object]) -> Iterator[StopRequest]:
    """Within the block signals ask for a stop by `stop_file`; afterwards they do what they did before.

    A signal that is ignored stays ignored (`nohup`), and outside the main thread, where Python lets nobody handle
    signals, all of them do what they did.

    Raises:
        InputError: POLYRAY_GRACE is no number of seconds.
    """
    request = StopRequest(stop_file, grace_seconds(), announce)
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                handlers[number] = signal.signal(number, request.receive)
    try:
        yield request
    finally:
        request.close()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def grace_seconds() -> float:
    """Seconds from SIGTERM to the interruption of a run that reaches no checkpoint.

    Raises:
        InputError: POLYRAY_GRACE is no number of seconds.
    """
    text = os.environ.get(GRACE_VARIABLE, str(GRACE))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise InputError(f"{GRACE_VARIABLE}={text!r} in the environment is no number of seconds, such as {GRACE:g}.")
    return seconds
