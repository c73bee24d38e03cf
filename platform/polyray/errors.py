"""What can go wrong, named by who can put it right."""


class PolyrayError(Exception):
    """Any failure that Polyray explains in one message; `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(PolyrayError):
    """The user's input is wrong; the message says what was found, where, and what would be right."""

    exit_code = 2


class RunError(PolyrayError):
    """The run failed although its input was right; the message names the log."""

    exit_code = 1


class Interrupted(PolyrayError):
    """The user stopped the run; the message says how to resume it."""

    exit_code = 130
