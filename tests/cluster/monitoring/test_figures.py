"""Figures for Prometheus: read from a run's own files, bounded in number, and never the end of a run."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
from launch_cases import Config, done, launch
from sweep_cases import record, row

from polyray.cluster.monitoring import gauges, runs
from polyray.cluster.monitoring.figures import FIGURES, SOURCES, TASKS, TRIALS, run_samples, sweep_samples
from polyray.cluster.monitoring.gauges import Attempts, Gauges
from polyray.cluster.monitoring.sweeps import SweepWatch
from polyray.runs.job import Result
from polyray.runs.run import Run

LANGUAGE = {"step": 20, "loss": 0.5, "discreteness": 0.25, "usage": 0.75, "lr": {"skills": 0.1}}
VALIDATION = {"score": 0.6, "loss": 0.4, "tasks": {"glue/cola": 0.6, "a b": 0.7}, "losses": {"a b": 0.1}}
AGENT = {
    "step": 4096, "success": 0.5, "losses": {"total": 1.5, "policy": 0.1}, "tasks": {"GoToObj": {"success": 0.25}},
    "allocation": {"discreteness": 0.125, "usage": 1.0}, "frames_per_second": 300.0,
}  # fmt: skip


class FakeGauge:
    """Keeps the last value of each series, as Ray's agent does."""

    series: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}  # noqa: RUF012  # shared by all

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        assert description
        self.name, self.tag_keys = name, tag_keys

    def set(self, value: float, tags: Mapping[str, str]) -> None:
        assert set(tags) == set(self.tag_keys), (self.name, tags)
        self.series[self.name, tuple(sorted(tags.items()))] = value


@pytest.fixture
def series(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    monkeypatch.setattr(FakeGauge, "series", {})
    monkeypatch.setattr(gauges, "Gauge", FakeGauge)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    return FakeGauge.series


def samples(line: Mapping[str, Any]) -> dict[str, float]:
    return {" ".join([name, *labels.values()]): value for name, labels, value in run_samples(line)}


def test_figures_are_those_of_the_lines_of_metrics_of_language_models_and_agents() -> None:
    language = {
        "polyray_step": 20, "polyray_loss": 0.5, "polyray_allocation_discreteness": 0.25,
        "polyray_allocation_usage": 0.75,
    }  # fmt: skip
    assert samples(LANGUAGE) == language
    scores = {"polyray_score": 0.6, "polyray_task_score glue/cola": 0.6, "polyray_task_score a b": 0.7}
    assert samples({**LANGUAGE, "validation": VALIDATION, "loss": None}) == {
        **{name: value for name, value in language.items() if name != "polyray_loss"}, **scores
    }  # fmt: skip
    assert samples(AGENT) == {
        "polyray_step": 4096, "polyray_loss": 1.5, "polyray_score": 0.5, "polyray_frames_per_second": 300.0,
        "polyray_allocation_discreteness": 0.125, "polyray_allocation_usage": 1.0, "polyray_task_score GoToObj": 0.25,
    }  # fmt: skip
    assert samples({**AGENT, "validation": {"score": 0.75, "tasks": {"GoToObj": 0.75}}})["polyray_score"] == 0.75
    assert set(SOURCES) <= set(FIGURES)


def test_ten_thousand_trials_and_a_thousand_tasks_make_few_series(tmp_path: Path, series: Any) -> None:
    folders = [tmp_path / f"{number:05d}" for number in range(TRIALS + 50)]
    for folder in folders:
        folder.mkdir()
        (folder / "metrics.jsonl").write_text(json.dumps(LANGUAGE) + "\n")
    running = [row(n, 0.1, "running", folders=(folder,)) for n, folder in enumerate(folders)]
    ended = [row(n, 0.5 + n * 1e-6) for n in range(len(running), 10_000)]
    sweep = record([*running, *ended], path=tmp_path)
    SweepWatch(lambda: sweep, pytest.fail).tick()
    assert len(series) == 5 + 3 + 5 * TRIALS  # states, planned, steps and best goal; five figures of a trial
    tags = (("polyray_job", "polytropon"), ("sweep", tmp_path.name))
    assert series["polyray_sweep_trials", tuple(sorted([*tags, ("state", "done")]))] == len(ended)
    assert series["polyray_sweep_best_goal", (("goal", "mean"), *tags)] == 0.509999
    assert series["polyray_sweep_steps", tags] == 10 * 10_000 and series["polyray_sweep_planned", tags] == 10_000
    run = f"{tmp_path.name}/00007"
    labels = (("polyray_job", "polytropon"), ("run", run), ("sweep", tmp_path.name), ("trial", "00007"))
    assert series["polyray_loss", labels] == 0.5
    tasks = {"validation": {"score": 0.5, "tasks": {f"t{n}": 0.5 for n in range(1000)}}}
    assert len(list(run_samples(tasks))) == TASKS + 1


def test_a_sweep_without_an_ended_trial_has_no_best_goal() -> None:
    names = {name for name, _, _ in sweep_samples(record([row(0, None, "running")]))}
    assert names == {"polyray_sweep_trials", "polyray_sweep_planned", "polyray_sweep_steps"}


def work(config: Config, run: Run) -> Result:
    run.report(1, {"loss": 2.0}, tokens_per_second=10.0)
    inner = run.within("inner")
    (inner.out / "config.yaml").write_text("# job: inner\n")
    inner.report(3, {"loss": 1.0})
    return done(config, run)


def test_a_run_tells_its_figures_and_those_of_runs_inside_it(tmp_path: Path, series: Any) -> None:
    launch(tmp_path / "one", work)
    figures = {(name, dict(labels)["run"]): value for (name, labels), value in series.items()}
    assert figures == {
        ("polyray_step", "one"): 1, ("polyray_loss", "one"): 2.0, ("polyray_tokens_per_second", "one"): 10.0,
        ("polyray_step", "one/inner"): 3, ("polyray_loss", "one/inner"): 1.0,
    }  # fmt: skip


def test_figures_that_fail_are_announced_once_and_end_no_run(
    tmp_path: Path, series: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionError("no agent")

    monkeypatch.setattr(Gauges, "set", refuse)
    monkeypatch.setattr(runs, "EVERY", 0.01)

    def slow(config: Config, run: Run) -> Result:
        time.sleep(0.1)
        return work(config, run)

    result, output = launch(tmp_path / "one", slow)
    assert result.metrics == {"mean": 3} and output.count("no agent") == 1 and "The run goes on" in output
    announced: list[str] = []
    attempts = Attempts(refuse, announced.append)
    attempts()
    attempts()
    assert announced == ["Figures for Prometheus end here: ConnectionError: no agent. The run goes on."]
