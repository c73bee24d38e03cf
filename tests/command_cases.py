"""The command line called within a test."""

import pytest

from polyray.cli.app import main

Captured = pytest.CaptureFixture[str]


def call(capsys: Captured, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `polyray ARGUMENTS`; an error is one line."""
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    output = capsys.readouterr()
    assert output.err.count("polyray: ") == output.err.count("\n") <= 1 or code == 0, output.err
    return code, output.out, output.err
