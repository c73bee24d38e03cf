"""The record of a training, beside what its golden curves and its resume already show."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_cases import KNOWN, SUITE, spec, tiny_model, train_alone

from polyray.analysis.allocation import analyse
from polyray.config import load_config
from polyray.progress import PROGRESS
from polyray.runs.metrics import read_metrics
from polyray.runs.run import Run
from polyray.skills.card import BackboneCard
from polyray.skills.inventory import Provenance
from polyray.training.journal import Journal, planted_allocation, recovery
from polyray.training.loop import Report
from polyray.training.recipe import TrainingRecipe
from polyray.training.worker import Alone


def test_the_speed_is_that_of_all_workers_since_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 14.0, 20.0])
    monkeypatch.setattr("polyray.training.journal.time.monotonic", lambda: next(clock))
    backbone = BackboneCard(name="tiny-encoder", fingerprint="a" * 64)
    provenance = Provenance(backbone=backbone, suite="toy", tasks=KNOWN, data={}, seed=0)
    record = Journal(Run(tmp_path), Alone(world=3), provenance, spec())
    model = tiny_model("tiny-encoder", [SUITE.tasks[name] for name in KNOWN])
    record.write(Report(step=1, loss=0.5, tokens=120), model)
    record.write(Report(step=2, loss=0.25, tokens=80), model)
    lines = [json.loads(line) for line in (tmp_path / PROGRESS).read_text(encoding="utf-8").splitlines()]
    assert [line["tokens_per_second"] for line in lines] == [3 * 120 / 4, 3 * 200 / 10]


def test_the_planted_allocation_has_a_row_for_each_training_task_and_a_column_for_each_skill() -> None:
    suite = replace(SUITE, partition={"train": ("size", "colour"), "test": ("shape",)})
    assert planted_allocation(suite) is None
    planted = replace(suite, allocation={"colour": (0, 2), "size": (1,), "shape": (3,)})
    assert planted_allocation(planted).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_an_allocation_that_was_learned_exactly_is_recovered_whatever_the_order_of_its_skills() -> None:
    truth = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 1]])
    learned = np.stack([0.8 * truth[:, order] + 0.1 for order in ([0, 1, 2], [2, 0, 1])])  # [sites, tasks, skills]
    assert recovery(learned, truth) == {"ami": 1.0, "assignment_accuracy": 1.0}
    swapped = recovery(1 - learned, truth)
    assert swapped["assignment_accuracy"] < 1.0


def test_a_training_records_its_allocation_and_its_recovery_where_there_is_a_choice_of_skills(tmp_path: Path) -> None:
    few = [f"tasks.planted.{name}=4" for name in ("train_examples", "dev_examples", "test_examples")]
    one_step = [*few, "training.steps=1", "modules.rank=1", "modules.sites=[ffn]"]
    figures = analyse(np.full((1, 2, 3), 0.5)).metrics().keys()
    for kind, has_choice in (("polytropon", True), ("shared", False)):
        (tmp_path / kind).mkdir()
        recipe = load_config(TrainingRecipe, overrides=[*one_step, f"routing.kind={kind}"])
        metrics = train_alone(tmp_path / kind, recipe)
        assert ("recovery" in metrics) == has_choice
        (line,) = read_metrics(tmp_path / kind)
        assert figures <= line.keys() and figures <= metrics["allocation"].keys()
