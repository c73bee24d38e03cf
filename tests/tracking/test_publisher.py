"""A run folder on its way to a tracker: every number once, in order, whatever fails, dies or is written anew."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_job import CountingConfig, count
from tracker_cases import AWAY, DiaryTracker, calls, calls_in_short

from polyray.config import Section, load_config
from polyray.errors import InputError
from polyray.runs.metrics import append_line
from polyray.runs.run import Run
from polyray.runs.sealed import read_sealed
from polyray.tracking.options import TrackingOptions, tracking_of, untracked
from polyray.tracking.process import FIRST_WAIT, LONGEST_WAIT, Publishing
from polyray.tracking.publisher import Publisher
from polyray.tracking.tracker import Opening


def opening(out: Path, **changes: Any) -> Opening:
    plain = Opening(
        name=out.name, project="polyray", group="", parameters={"steps": 3}, tags={}, store=str(out / "tracking")
    )
    return replace(plain, **changes)


def publisher(out: Path, options: Mapping[str, Any] | None = None, **changes: Any) -> Publisher:
    out.mkdir(exist_ok=True)
    return Publisher(out, opening(out, **changes), DiaryTracker, options if options is not None else {})


def advanced(publishing: Publisher, *ending: Any) -> None:
    if ending:
        publishing.end(*ending)
    publishing.advance()


def test_a_run_is_told_in_order_with_its_numbers_flat_and_its_result(tmp_path: Path) -> None:
    publishing, run = publisher(tmp_path, name="first", group="sweep"), Run(tmp_path)
    run.report(2, {"loss": 0.5, "lr": {"skills": 0.25}, "note": "x", "score": float("nan"), "done": True})
    publishing.advance()
    run.phase("dense").report(1, {"success": 1})
    run.within("private").report(7, {"loss": 2.0})
    (tmp_path / "private" / "config.yaml").touch()  # a run of its own; other folders are none
    run.within("checkpoints").report(9, {"loss": 3.0})
    advanced(publishing, "done", {"mean": 0.75, "tasks": {"a": {"accuracy": 1, "std": None}}})
    start, *rest = calls(tmp_path / "tracking")
    assert (start["name"], start["group"], start["fields"], start["resumed"]) == ("first", "sweep", {"steps": 3}, False)
    assert [(call.get("step"), call["metrics"]) for call in rest] == [
        (2, {"loss": 0.5, "lr/skills": 0.25}),
        (1, {"dense/success": 1.0}),
        (7, {"private/loss": 2.0}),
        (7, {"result/mean": 0.75, "result/tasks/a/accuracy": 1.0}),
    ]
    assert publishing.is_over
    assert rest[-1]["status"] == "done"


def test_a_run_that_has_written_nothing_is_not_told(tmp_path: Path) -> None:
    publishing = publisher(tmp_path / "later")
    (tmp_path / "later").rmdir()  # a trial is followed before its folder is there
    publishing.advance()
    publishing = publisher(tmp_path)
    for name in ("config.yaml", "starts.jsonl", "log.txt", ".lock", ".writing-result.json-0a0a0a0a"):
        (tmp_path / name).touch()
    publishing.advance()
    before = publishing.is_over
    advanced(publishing, "failed", {})
    assert (before, publishing.is_over) == (False, True)
    assert not (tmp_path / "tracking").exists()


def test_a_resumed_run_goes_on_with_its_tracker_run_and_repeats_no_step(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for step in (1, 2, 3):
        run.report(step, {"loss": 1.0})
        if step == 2:
            run.checkpoint(step, lambda folder: (folder / "a").touch())
    advanced(publisher(tmp_path), "interrupted", {})
    resumed = publisher(tmp_path)
    resumed.advance()
    assert read_sealed(tmp_path / "tracking" / "json.json")["ended"] is None
    assert run.restored() is not None  # metrics.jsonl is written anew, without step 3
    for step in (3, 4):
        run.report(step, {"loss": 1.0})
        resumed.advance()
    advanced(resumed, "done", {})
    assert calls_in_short(tmp_path / "tracking") == ["started", 1, 2, 3, "interrupted", "resumed", 4, "done"]
    assert {call["run"] for call in calls(tmp_path / "tracking")} == {"run-0"}
    assert publisher(tmp_path).is_over  # nothing is left to say of a run that is done


def test_with_other_options_or_another_project_another_tracker_run_begins(tmp_path: Path) -> None:
    Run(tmp_path).report(1, {"loss": 1.0})
    for options, changes in (({}, {}), ({"chapter": "two"}, {}), ({"chapter": "two"}, {"project": "mine"})):
        advanced(publisher(tmp_path, options, **changes), "interrupted", {})
    assert calls_in_short(tmp_path / "tracking") == ["started", 1, "interrupted"] * 3
    assert len({call["run"] for call in calls(tmp_path / "tracking")}) == 3


def test_a_line_that_is_being_written_is_sent_when_it_is_whole(tmp_path: Path) -> None:
    publishing = publisher(tmp_path)
    append_line(tmp_path / "metrics.jsonl", {"step": 1, "loss": 1.0})
    for text in ('{"step": 2, "lo', 'ss": 2.0}\n{"step": 3, "loss": 3.0}\n'):
        with (tmp_path / "metrics.jsonl").open("a") as stream:
            stream.write(text)
        publishing.advance()
        publishing.advance()
    assert calls_in_short(tmp_path / "tracking") == ["started", 1, 2, 3]


class Clock:
    """Publishing of the runs `a` and `b`, whose tracker runs share a store, at seconds that the test says."""

    def __init__(self, folder: Path) -> None:
        self.store, self.complaints = folder / "store", list[str]()
        self.publishing = Publishing(kind=DiaryTracker, options={}, complain=self.complaints.append)
        self.store.mkdir()
        for name in "ab":
            (folder / name).mkdir()
            Run(folder / name).report(1, {"loss": 1.0})
            said = json.loads(json.dumps(vars(opening(folder / name, store=str(self.store)))))
            self.publishing.receive({"follow": str(folder / name), "opening": said})

    def at(self, *seconds: float) -> None:
        for now in seconds:
            self.publishing.advance(now)


def test_a_tracker_that_fails_is_tried_again_ever_more_rarely_and_gets_everything_once(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    (clock.store / AWAY).touch()
    clock.at(0.0, FIRST_WAIT - 1)
    assert clock.complaints == ["ConnectionError: nobody answers"]
    clock.at(FIRST_WAIT, 2 * FIRST_WAIT, 3 * FIRST_WAIT - 1)
    assert len(clock.complaints) == 2
    clock.at(*range(100, 10_000, 100))
    assert len(clock.complaints) < 10_000 / LONGEST_WAIT + 10
    (clock.store / AWAY).unlink()
    clock.at(20_000.0)
    assert calls_in_short(clock.store) == ["started", 1, "started", 1]
    Run(tmp_path / "a").report(2, {"loss": 1.0})
    (clock.store / AWAY).touch()
    clock.at(20_001.0)
    clock.publishing.receive({"end": str(tmp_path / "a"), "status": "done", "metrics": {"mean": 1}})
    (clock.store / AWAY).unlink()
    assert clock.publishing.close()
    assert calls_in_short(clock.store) == ["started", 1, "started", 1, "interrupted", "resumed", 2, "done"]
    assert [call["metrics"] for call in calls(clock.store)[-1:]] == [{"result/mean": 1.0}]


def test_what_a_tracker_never_took_is_not_counted_as_sent(tmp_path: Path) -> None:
    clock = Clock(tmp_path)
    (clock.store / AWAY).touch()
    assert not clock.publishing.close() and calls_in_short(clock.store) == []


class Config(Section):
    tracking: TrackingOptions = TrackingOptions()
    """Tracker."""
    steps: int = 3
    """Steps."""


def test_the_section_tracking_names_a_tracker_and_refuses_what_it_does_not_read() -> None:
    config = load_config(Config, overrides=["tracking.kind=mlflow", "tracking.uri=http://here:5000"])
    assert tracking_of(config).options.model_dump() == {"uri": "http://here:5000"}
    assert untracked(config) == Config() and untracked(CountingConfig()) == CountingConfig()
    assert tracking_of(CountingConfig()).kind == "none"
    refused = {
        "tracking.kind=mlfow": "Did you mean 'mlflow'?",
        "tracking.project=mine": "tracking.kind is none",
        "tracking.mode=offline": "is not read with tracking.kind=none; wandb reads it",
        "tracking.key=secret": "No field is called 'tracking.key'",
    }
    for override, message in refused.items():
        with pytest.raises(InputError) as caught:
            load_config(Config, overrides=[override])
        assert message in str(caught.value)


def test_a_run_is_the_same_to_the_byte_whoever_watches(tmp_path: Path) -> None:
    for name in ("watched", "alone"):
        (tmp_path / name).mkdir()
        publishing = publisher(tmp_path / name)
        result = count(CountingConfig(), Run(tmp_path / name))
        if name == "watched":
            advanced(publishing, "done", result.metrics)

    def content(name: str) -> dict[str, bytes]:
        folder = tmp_path / name
        files = {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        return {
            str(path): data
            for path, data in files.items()
            if path.parts[0] not in ("tracking", "tensorboard", "progress.jsonl")
        }

    assert content("watched") == content("alone")
    assert calls_in_short(tmp_path / "watched" / "tracking") == ["started", 1, 2, 3, "done"]
