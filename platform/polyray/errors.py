"""Errors of Polyray, each with the exit code of the command line."""


class PolyrayError(Exception):
    """Failure that Polyray explains in one message; the command line ends with its `exit_code`."""

    exit_code = 1


class InputError(PolyrayError):
    """Error in the user's input; the message says what was found, where, and what would be right."""

    exit_code = 2


class RunError(PolyrayError):
    """Failure of a run whose input was right; the message names the log."""

    exit_code = 1


class Interrupted(PolyrayError):
    """Stop of a run by the user; the message says how to resume it."""

    exit_code = 130
