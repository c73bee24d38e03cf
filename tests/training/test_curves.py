"""Golden curves: the losses of the first ten steps of every language job at its tiny size, as numbers.

They notice what no other test names: a schedule, a group of the optimiser, a draw, a weight in a mean. Whoever changes
them on purpose puts in the numbers that the failure shows, and says why.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from training_cases import train_alone

from polyray.config import load_config
from polyray.tasks import load_suite
from polyray.training.fewshot import adapt_one
from polyray.training.loop import Report, fit
from polyray.training.pieces import AdaptationRecipe, Piece
from polyray.training.recipe import TrainingRecipe

TINY = (
    "training.steps=10", "training.batch=6", "training.report_every=1", "training.save_every=10", "training.lr=1e-2",
    "training.backbone_lr=1e-3", "training.warmup=0.3", "training.weight_decay=0.1", "training.clip=0.5",
    "training.task_power=0.5", "routing.n_skills=3", "modules.rank=2", "modules.sites=[ffn]",
    "evaluation.max_examples=2",
)  # fmt: skip
PLANTED = (
    "tasks.planted.train_subsets=2", "tasks.planted.tasks_per_subset=1", "tasks.planted.test_subsets=1",
    "tasks.planted.train_examples=40", "tasks.planted.n_skills=2", "tasks.planted.subset_sizes=[1,2]",
    "tasks.planted.test_examples=4",
)  # fmt: skip
CURVES = {
    "planted": [5.88199, 5.90822, 5.32084, 5.07678, 4.62055, 4.60730, 4.36038, 4.43503, 4.42553, 4.11435],
    "conll": [1.07655, 0.98160, 0.78011, 0.55431, 0.35487, 0.22360, 0.13482, 0.09339, 0.06672, 0.05106],
    "choices": [0.99893, 0.82083, 1.21506, 0.71473, 1.06040, 1.08464, 1.06360, 1.03175, 0.94319, 0.96936],
    "text": [5.47512, 5.35342, 5.22999, 5.17070, 4.97488, 4.99996, 4.89520, 4.82787, 4.78000, 4.79384],
    "adapt": [4.30886, 4.33354, 4.35666, 4.12438, 4.31890, 4.01519, 4.19745, 4.02913, 4.07341, 4.08937],
}


def planted(folder: Path) -> tuple[str, ...]:
    return PLANTED


def conll(folder: Path) -> tuple[str, ...]:
    for number, task in enumerate(("eng", "hau")):
        (folder / task).mkdir(parents=True)
        sentences = [f"in O\nNew{n * (number + 1)} B-LOC\nYork I-LOC\n{task}{n} O\n" for n in range(20 + 10 * number)]
        (folder / task / "train.txt").write_text("\n".join(sentences))
    return ("suite=conll", f"tasks.path={folder}", "backbone=tiny-encoder")


def choices(folder: Path) -> tuple[str, ...]:
    for number, task in enumerate(("colour", "size")):
        words = (("red", "green", "blue"), ("large", "small"))[number]
        rows = [{"input": f"item {n * n}", "output": words[n % len(words)], "choices": words} for n in range(30)]
        folder.mkdir(exist_ok=True)
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ("suite=jsonl", f"tasks.path={folder}", "backbone=tiny-encoder")


def text(folder: Path) -> tuple[str, ...]:
    folder.mkdir()
    for number, task in enumerate(("eng", "hau")):
        lines = [f"{task} has {n * n} lines of text\n" for n in range(40 + 20 * number)]
        (folder / f"{task}.txt").write_text("".join(lines))
    return ("suite=text", f"tasks.path={folder}", "text.max_input=48", "backbone=tiny-encoder")


def trained(out: Path, *overrides: str) -> list[float]:
    """The losses of a training of ten steps."""
    recipe = load_config(TrainingRecipe, overrides=[*TINY, *overrides])
    train_alone(out, recipe)
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_schedule_changes_the_rates_of_a_training_from_its_step_on(tmp_path: Path) -> None:
    (tmp_path / "schedule.json").write_text(json.dumps({"changes": [[5, {"training.lr": 0.125}]]}))
    rates = {}
    for name, more in {
        "low": ("training.lr=0.0625",), "high": ("training.lr=0.125",),
        "both": ("training.lr=0.0625", f"training.schedule={tmp_path / 'schedule.json'}"),
    }.items():  # fmt: skip
        (tmp_path / name).mkdir()
        trained(tmp_path / name, *PLANTED, "training.report_every=1", *more)
        lines = (tmp_path / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        rates[name] = [json.loads(line)["lr"] for line in lines]
    assert rates["both"] == rates["low"][:5] + rates["high"][5:]


def shown(losses: list[float]) -> str:
    """The losses as they would stand in CURVES."""
    return ", ".join(f"{loss:.5f}" for loss in losses)


SUITES: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "planted": planted,
    "conll": conll,
    "choices": choices,
    "text": text,
}


@pytest.mark.parametrize("name", SUITES)
def test_the_first_losses_of_a_training_are_the_golden_ones(name: str, tmp_path: Path) -> None:
    losses = trained(tmp_path, *SUITES[name](tmp_path / "data"))
    assert losses == pytest.approx(CURVES[name], rel=1e-3), shown(losses)


def test_the_first_losses_of_an_adaptation_are_the_golden_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path, *PLANTED)
    losses = []

    def recorded(*arguments: Any, **named: Any) -> Iterator[Report]:
        for report in fit(*arguments, **named):
            losses.append(report.loss)
            yield report

    monkeypatch.setattr("polyray.training.adaptation.fit", recorded)
    few = ("adapt.steps=10", "adapt.looks=10", "adapt.batch=4", "adapt.lr=1e-2", "adapt.weight_decay=0.1")
    recipe = load_config(AdaptationRecipe, overrides=[*PLANTED, *few, f"skills={tmp_path / 'skills'}"])
    (task,) = load_suite(recipe.tasks).partition["test"]
    adapt_one(Piece(recipe=recipe, out=tmp_path / "adapted", task=task, seed=1, method="skills"))
    assert losses == pytest.approx(CURVES["adapt"], rel=1e-3), shown(losses)
