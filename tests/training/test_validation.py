"""Validation on dev examples while training: what it scores, which state it keeps, and that it disturbs nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gathering import for_cases
from test_curves import PLANTED, TINY, choices
from training_cases import KNOWN, answer_task, answers, rows_of, spec, suite_of, tiny_model, train_alone

from polyray.config import load_config
from polyray.errors import InputError, Interrupted
from polyray.jobs.polytropon import Config, check
from polyray.modules.site import mixing
from polyray.objectives import ValidationOptions
from polyray.runs.metrics import read_metrics
from polyray.runs.state import load_state
from polyray.tasks import Suite, TextAnswers
from polyray.training.data import mean_score
from polyray.training.evaluation import mean_losses, predictions, score
from polyray.training.model import Modular
from polyray.training.recipe import TrainingRecipe
from polyray.training.validation import Validator, validation_examples

TRAIN_ONLY = "tasks.train_splits=[train]"
RISING = (TRAIN_ONLY, "evaluation.every=1", "evaluation.dev_examples=0", "training.lr=5e-2", "training.seed=2")
BEST = 3  # the step of RISING at which the dev score is highest, once


def run(out: Path, *overrides: str) -> dict[str, Any]:
    """The metrics of a training of ten steps in the folder `out`."""
    out.mkdir(exist_ok=True)
    return train_alone(out, load_config(TrainingRecipe, overrides=[*TINY, *overrides]))


def skills(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in (out / "skills").rglob("*") if path.is_file()}


def checkpoint(out: Path) -> dict[str, Any]:
    """The state of a training in its newest checkpoint."""
    state: dict[str, Any] = load_state(max((out / "checkpoints").iterdir()) / "training")
    return state


def test_a_training_that_is_validated_learns_and_draws_what_it_does_without(tmp_path: Path) -> None:
    options = (
        *PLANTED, TRAIN_ONLY, "evaluation.sample=true", "training.checkpointing=true", "training.accumulate=2",
        "training.steps=3", "training.report_every=3", "training.batch=2", "text.max_output=16",
        "tasks.planted.train_examples=8",
    )  # fmt: skip
    plain = run(tmp_path / "plain", *options)
    validated = run(tmp_path / "validated", *options, "evaluation.every=2", "evaluation.dev_examples=2")
    lines, more = (read_metrics(tmp_path / name) for name in ("plain", "validated"))
    assert [line["step"] for line in more] == [2, 3] and more[0].keys() == {"step", "validation"}
    scored = more[-1].pop("validation")
    assert validated.pop("validation") == {"score": scored["score"], "loss": scored["loss"], "step": 3}
    assert more[1:] == lines and validated == plain
    assert skills(tmp_path / "validated") == skills(tmp_path / "plain")
    before, after = (checkpoint(tmp_path / name) for name in ("plain", "validated"))
    assert after.pop("selection")["tensors"] == {}
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_the_best_state_is_kept_and_the_skills_are_of_it_wherever_the_run_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = choices(tmp_path / "data")
    states: dict[int, list[torch.Tensor]] = {}
    validate = Validator.__call__

    def noted(validator: Validator, model: Modular) -> dict[str, Any]:
        figures = validate(validator, model)
        states[len(states) + 1] = [skill.clone() for skill in model.inventory.parameters()]
        return figures

    with monkeypatch.context() as patch:
        patch.setattr(Validator, "__call__", noted)
        last = run(tmp_path / "last", *data, *RISING)
    best = run(tmp_path / "best", *data, *RISING, "training.keep=best")
    lines = read_metrics(tmp_path / "best")
    assert lines == read_metrics(tmp_path / "last")
    scores = [line["validation"]["score"] for line in lines]
    assert best["validation"] == {"score": max(scores), "loss": lines[BEST - 1]["validation"]["loss"], "step": BEST}
    assert scores.index(max(scores)) == BEST - 1 and last["validation"]["step"] == 10
    chosen = checkpoint(tmp_path / "best")["selection"]["tensors"]
    skill_tensors = [tensor for name, tensor in chosen.items() if name.startswith("inventory.")]
    assert skill_tensors and all(map(torch.equal, skill_tensors, states[BEST]))
    assert skills(tmp_path / "best") != skills(tmp_path / "last")
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    for step in range(1, BEST + 2):
        (stopped / "stop").touch()
        with pytest.raises(Interrupted, match=f"Stopped after {step} of 10"):
            run(stopped, *data, *RISING, "training.keep=best")
        (stopped / "stop").unlink()
    assert run(stopped, *data, *RISING, "training.keep=best") == best
    assert skills(stopped) == skills(tmp_path / "best") and read_metrics(stopped) == lines
    assert run(stopped, *data, *RISING, "training.keep=best") == best, "begun again from its last checkpoint"


def test_figures_are_means_over_tasks_of_their_own_metric_and_of_their_loss_word_by_word() -> None:
    suite = suite_of(*map(answer_task, KNOWN))
    model = tiny_model("tiny-seq2seq", list(suite.tasks.values()), spec())
    examples = [*answers("colour", 5), *answers("size", 2)]
    data = rows_of(model, suite, examples)
    options = ValidationOptions(every=1, method="rank", batch=3)
    validator = Validator(suite, data, options, max_output=64, seed=0)
    figures = validator(model.train())
    assert model.training
    expected = {}
    for task in KNOWN:
        total = count = 0.0
        for row in (row for row in data.rows if row.example.task == task):
            batch = data.objective.collate(model.backbone, [row])
            with torch.no_grad(), mixing(model.inventory, model.eval().router((task,))):
                total += row.n_written * data.objective.loss(model, batch).item()
            count += row.n_written
        expected[task] = total / count
    assert figures["losses"] == pytest.approx(expected, rel=1e-5)
    assert figures["loss"] == pytest.approx(sum(expected.values()) / 2, rel=1e-5)
    scores = score(suite.tasks, data.examples, predictions(model, data, options, 64))
    assert figures["tasks"] == {name: scores[name]["ACC"] for name in KNOWN}
    assert figures["score"] == mean_score(scores) and mean_losses(model, data, 64) == pytest.approx(expected, rel=1e-5)


def test_no_more_tokens_are_written_than_the_longest_target_has(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = suite_of(answer_task("colour"))
    model = tiny_model("tiny-seq2seq", list(suite.tasks.values()), spec("shared"))
    data = rows_of(model, suite, answers("colour", 3))
    limits: list[int] = []

    def note(model: Modular, data: Any, options: Any, max_output: int) -> list[str]:
        limits.append(max_output)
        return ["red"] * len(data.rows)

    monkeypatch.setattr("polyray.training.validation.predictions", note)
    for max_output in (64, 2):
        Validator(suite, data, ValidationOptions(every=1), max_output=max_output, seed=0)(model)
    assert limits == [max(row.n_written for row in data.rows), 2] and limits[0] > 2


def few_shot_suite(**shots: dict[tuple[str, int], range]) -> Suite:
    """Tasks whose examples of a (split, seed) have these numbers."""
    tasks = []
    for name, of_split in shots.items():
        examples = answers(name, 20)

        def read(
            split: str, seed: int, of_split: Any = of_split, examples: tuple[TextAnswers, ...] = examples
        ) -> tuple[TextAnswers, ...]:
            return tuple(examples[number] for number in of_split.get((split, seed), ()))

        tasks.append(replace(answer_task(name), seeds=(0, 1), read=read))
    return replace(suite_of(*tasks), partition={"train": tuple(shots)})


def test_dev_examples_are_those_of_all_splits_that_no_split_trains_on_the_first_ones() -> None:
    shots = {("train", 0): range(4), ("dev", 0): range(3, 7), ("train", 1): range(8, 10), ("dev", 1): range(5, 9)}
    suite = few_shot_suite(colour=shots, size={("train", 0): range(4), ("dev", 0): range(6, 8)})
    recipe = load_config(TrainingRecipe, overrides=[TRAIN_ONLY, "evaluation.every=1", "evaluation.dev_examples=3"])
    numbers = [(example.task, example.input.split()[1]) for example in validation_examples(recipe, suite)]
    assert numbers == [("colour", "4"), ("colour", "5"), ("colour", "6"), ("size", "6"), ("size", "7")]
    unlimited = load_config(TrainingRecipe, overrides=[TRAIN_ONLY, "evaluation.every=1", "evaluation.dev_examples=0"])
    assert len(validation_examples(unlimited, suite)) == 6  # and number 7 of colour; 8 is trained on
    lacking = few_shot_suite(**{f"t{n}": {("train", 0): range(3), ("dev", 1): range(n % 2, 4)} for n in range(6)})
    assert len({example.task for example in validation_examples(recipe, lacking)}) == 6
    lacking = few_shot_suite(**{f"t{n}": {("train", 0): range(4), ("dev", 1): range(3)} for n in range(6)})
    with pytest.raises(InputError, match=r"6 of the training tasks .* toy have none .*: 't0', 't1', .*'t4' and 1 more"):
        validation_examples(recipe, lacking)


@for_cases(
    [
        {"overrides": ["evaluation.every=5"], "message": r"tasks\.train_splits=\[train, dev\] trains on them"},
        {"overrides": ["training.keep=best"], "message": r"training\.keep=best .* set evaluation\.every above 0"},
        {"overrides": ["evaluation.dev_examples=4"], "message": r"dev_examples .* not read: evaluation\.every is 0"},
        {"overrides": ["training.keep=first"], "message": "Known: best, last"},
        {"overrides": ["evaluation.every=-1"], "message": "greater than or equal to 0"},
    ]
)
def test_a_validation_that_cannot_be_is_refused_before_anything_starts(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check(load_config(Config, overrides=[*PLANTED, *overrides]))


def test_a_task_without_dev_examples_of_its_own_is_named_before_anything_starts(tmp_path: Path) -> None:
    rows = [{"input": f"item {n}", "output": "red", "choices": ["red", "blue"]} for n in range(4)]
    for split, chosen in (("train", rows), ("dev", rows[1:]), ("test", rows[:1])):
        (tmp_path / "colour").mkdir(exist_ok=True)
        (tmp_path / "colour" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chosen))
    suite = ("suite=jsonl", f"tasks.path={tmp_path}", "backbone=tiny-encoder")
    with pytest.raises(InputError, match=r"have none that are not trained on too: 'colour'\. Give them dev examples"):
        check(load_config(Config, overrides=[*suite, TRAIN_ONLY, "evaluation.every=5"]))
