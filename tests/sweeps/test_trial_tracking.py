"""The trials of a sweep at a tracker, and on TensorBoard's HParams page."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from toy_sweep import ToyConfig, drive, run_toy, toy_sweep
from tracker_cases import DiaryTracker, calls

from polyray.cluster import launch
from polyray.errors import InputError
from polyray.runs.folder import read_config
from polyray.runs.job import Job
from polyray.sweeps.fields import OneOf
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.space import Goal, Space
from polyray.sweeps.tracking import TrialTracking
from polyray.sweeps.trials import read_rows
from polyray.tracking.options import TrackingOptions
from polyray.tracking.table import TRACKERS

pytestmark = pytest.mark.processes


class WatchedConfig(ToyConfig):
    """Fields of the toy job, and who watches it."""

    tracking: TrackingOptions = TrackingOptions()
    """Tracker."""


JOB = Job(about="A test's job.", Config=WatchedConfig, run=run_toy)


@pytest.fixture(autouse=True)
def diary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS, "diary", DiaryTracker)
    monkeypatch.setattr(launch, "write_report", lambda folder: None)


def start(sweep: SweepFolder, n_trials: int = 100, stopped: int = -1) -> list[int]:
    """The numbers of the trials of one start; the scheduler stops the one with the number `stopped`."""

    def stops(number: int, line: Mapping[str, object]) -> bool:
        return number == stopped and line["step"] == 2

    complaints = list[str]()
    with TrialTracking(sweep, WatchedConfig, complaints.append) as tracking:
        numbers = drive(sweep, n_trials, stops, JOB, tracking)
    assert complaints == []
    return numbers


def tracked(sweep: Path, name: str) -> list[object]:
    """One trial as the tracker has it: its beginning, its steps, its end."""
    (run,) = {call["run"] for call in calls(sweep / "tracking") if call.get("name") == name}
    said = [call for call in calls(sweep / "tracking") if call["run"] == run]
    return [call.get("status", call.get("step", call["call"])) for call in said]


def test_every_trial_is_a_tracker_run_in_the_group_of_its_sweep_over_all_starts(tmp_path: Path) -> None:
    path = tmp_path / "rates"
    assert start(toy_sweep(path, "tracking.kind=diary", scheduler="asha"), 2, stopped=1) == [0, 1]
    assert start(toy_sweep(path, "tracking.kind=diary", "tracking.tags={owner: me}", scheduler="asha")) == [0, 1, 2]
    assert tracked(path, "rates-0000") == ["start", 1, 2, 3, 4, "done"]
    assert tracked(path, "rates-0001") == ["start", 1, 2, "interrupted"]
    assert tracked(path, "rates-0002") == ["start", 1, 2, 3, 4, "done"]
    starts = [call for call in calls(path / "tracking") if call["call"] == "start"]
    rows = read_rows(toy_sweep(path, scheduler="asha"))
    assert [call["fields"]["lr"] for call in starts] == [row.fields["lr"] for row in rows]
    assert {call["group"] for call in starts} == {"rates"} and starts[2]["tags"]["owner"] == "me"
    assert read_config(path / "trials" / "0000")["tracking"]["kind"] == "none"  # trials tell nobody themselves
    with pytest.raises(InputError, match="another sweep"):
        start(toy_sweep(path, "tracking.kind=diary", "steps=5"))


class ListConfig(ToyConfig):
    rates: tuple[float, ...] = (0.1,)
    """Rates."""


def test_lists_are_texts_on_the_page(tmp_path: Path) -> None:
    fields = {"rates": OneOf(((0.1, 0.5), (0.25,)))}
    space = Space(about="toy", job="toy", goal=Goal("mean"), searcher="grid", fields=fields)
    drive(toy_sweep(tmp_path, space=space, searcher="grid"), job=Job(about="", Config=ListConfig, run=run_toy))
    texts = [file.read_bytes() for file in sorted(tmp_path.rglob("*.hparams"))]
    assert [(b"0.1, 0.5" in text, b"0.25" in text) for text in texts] == [(True, False), (False, True)]


def test_a_trial_that_is_done_is_on_the_page_with_its_goal(tmp_path: Path) -> None:
    sweep = toy_sweep(tmp_path, repeats=2, trials=2, scheduler="asha")
    drive(sweep, stops=lambda number, line: number == 1 and line["step"] == 2)
    pages = {
        str(file.relative_to(tmp_path)): EventAccumulator(str(file)).Reload()
        for file in sorted(tmp_path.rglob("*.hparams"))
    }
    assert [name.partition("/tensorboard/")[0] for name in pages] == ["trials/0000-0", "trials/0000-1"]
    goals = [[point.value for point in page.Scalars("goal/mean")] for page in pages.values()]
    assert goals == [[pytest.approx(value)] for value in read_rows(sweep)[0].seed_goals]
