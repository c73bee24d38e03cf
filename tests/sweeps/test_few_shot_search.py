"""The search of few-shot adaptations over skills that were really trained, from the space to the best method."""

from pathlib import Path

import pytest
from job_cases import TINY_SUITE, train
from toy_sweep import drive

from polyray.cluster import launch
from polyray.cluster.sweeping.planning import plan
from polyray.jobs.table import JOBS
from polyray.runs.result import read_result
from polyray.sweeps.options import read_options
from polyray.sweeps.outcome import best_config, write_outcome
from polyray.sweeps.trials import read_rows, record_of
from polyray.tune_spaces.loading import find_space, load_space

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
METHODS = ("skills", "row", "average", "fresh", "full")


def test_every_method_is_tried_at_its_rates_and_the_best_one_is_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "write_report", lambda folder: None)
    trained = tmp_path / "trained"
    trained.mkdir()
    train(trained, "training.steps=8")
    options, for_job = read_options(
        find_space("few_shot"),
        [f"skills={trained}/skills", *TINY_SUITE, "adapt.steps=4", "adapt.seeds=[0]", "adapt.looks=2",
         "evaluation.max_examples=2"],
    )  # fmt: skip
    job = JOBS["adapt"]
    space = load_space("few_shot", "adapt", job.Config, None, for_job)
    sweep = plan(
        tmp_path / "sweep", "adapt", job, "few_shot", space, options, file=None, overrides=space.overrides(for_job)
    )
    drive(sweep, job=job)
    rows = read_rows(sweep)
    assert [(row.state, row.fields["adapt.methods"]) for row in rows] == [("done", (method,)) for method in METHODS]
    for row in rows:
        result = read_result(row.folders[0])
        assert result is not None and row.goal == result["metrics"]["validation"]["score"]
        assert result["metrics"]["tasks"], "test examples were scored"
    record = record_of(sweep)
    write_outcome(record)
    assert record.best is not None and record.best.goal == max(row.goal for row in rows if row.goal is not None)
    best = best_config(sweep, job.Config, record.best).model_dump()
    assert best["adapt"]["methods"] == record.best.fields["adapt.methods"]
    assert best["evaluation"]["max_examples"] == 0
