"""Errors of Polyray, each with the exit code of the command line."""

from signal import SIGINT


class PolyrayError(Exception):
    """Failure that Polyray explains in one message; the command line ends with its `exit_code`."""

    exit_code = 1


class InputError(PolyrayError):
    """Error in the user's input; the message says what was found, where, and what would be right."""

    exit_code = 2


class RunError(PolyrayError):
    """Failure of a run whose input was right; the message names the log."""

    exit_code = 1


class StorageError(RunError, OSError):
    """Refusal of the disk; the message says what could not be done, to which file, and why."""


class Interrupted(PolyrayError):
    """Stop of a run by a signal or by its stop file; the message says how to resume it.

    number: of the signal; that of Ctrl-C where there was none. The exit code is 128 more, as shells have it.
    """

    def __init__(self, message: str, number: int = SIGINT) -> None:
        super().__init__(message)
        self.number, self.exit_code = number, 128 + number
