"""Ray Tune beside a sweep prints and writes nothing of its own."""

import pytest
from ray.tune.utils.callback import _create_default_callbacks

from polyray.cluster.sweeping.silence import QUIET, SilentProgress


def test_tune_takes_the_silent_progress_from_the_environment_and_adds_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    (progress,) = _create_default_callbacks(None)
    assert isinstance(progress, SilentProgress)
    progress._print("Trial 1 completed.")
    assert capsys.readouterr().out == ""
