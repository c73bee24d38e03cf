"""Groups of few-shot adaptations: what a process trains together, and that it ends as one by one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from training_cases import answer_task, spec, suite_of, train_alone

from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs import adapt
from polyray.routing import ROUTERS
from polyray.tasks import TextAnswers
from polyray.training.fewshot import _best, adapt_group
from polyray.training.methods import AdaptationOptions, candidates
from polyray.training.pieces import AdaptationRecipe, Group, Piece, groups_of
from polyray.training.recipe import TrainingRecipe

PLANTED = (
    "tasks.planted.train_subsets=2", "tasks.planted.tasks_per_subset=1", "tasks.planted.test_subsets=1",
    "tasks.planted.train_examples=8", "tasks.planted.n_skills=2", "tasks.planted.subset_sizes=[1,2]",
    "evaluation.max_examples=2",
)  # fmt: skip
TRAINING = ("training.steps=2", "training.batch=4", "modules.sites=[fc1]", "modules.rank=2", "routing.n_skills=2")


def outcomes(out: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((out / "adapted").iterdir())]


def test_groups_that_are_trained_together_write_what_is_written_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    train_alone(tmp_path / "run", load_config(TrainingRecipe, overrides=[*TRAINING, *PLANTED]))
    few = ["adapt.steps=2", "adapt.looks=2", "adapt.rates=[1e-3,0.1]", f"skills={tmp_path / 'run' / 'skills'}"]
    for choose in ("split", "task"):
        for stack in (1, 3):
            more = [f"adapt.stack={stack}", f"adapt.choose={choose}"]
            recipe = load_config(AdaptationRecipe, overrides=[*PLANTED, *few, *more])
            plan = adapt.plan_of(recipe, tmp_path / f"{choose}{stack}")
            assert [len(group.pieces) for group in plan.groups] == ([2] if choose == "task" else [1, 1])
            for group in plan.groups:
                assert group.together == (stack > 1)
                adapt_group(group)
        alone, together = (outcomes(tmp_path / f"{choose}{stack}") for stack in (1, 3))
        assert len(alone) == len(together) == 2
        for one, other in zip(alone, together, strict=True):
            assert one.pop("skill") and other.pop("skill") and one.pop("sha256") and other.pop("sha256")
            assert one == other
        metrics = adapt.gather(plan.pieces)
        assert metrics["validation"]["score"] == (together[0]["dev"] + together[1]["dev"]) / 2
        if choose == "task":
            assert alone[0]["lr"] == alone[1]["lr"]


def pieces(*lengths: int, **options: Any) -> tuple[list[Piece], Any]:
    """Two splits of a task for each length of its texts, and their suite."""
    tasks = []
    for number, length in enumerate(lengths):
        examples = (TextAnswers(task=f"task{number}", input="x" * length, outputs=("y",)),)
        task = answer_task(f"task{number}")
        tasks.append(task.__class__(**{**vars(task), "read": lambda *_, e=examples: e, "seeds": (0, 1)}))
    recipe = AdaptationRecipe(adapt=AdaptationOptions(**options))
    some = [
        Piece(recipe=recipe, out=Path(), task=task.name, seed=seed, method=method)
        for task in tasks
        for seed in task.seeds
        for method in recipe.adapt.methods
    ]
    return some, suite_of(*tasks)


def shown(groups: Sequence[Group]) -> list[str]:
    """A group as t0.1 for split 1 of task 0; a unit of several splits as t0.01; + where they are trained together."""
    return [
        " ".join(f"t{unit[0].task[4:]}.{''.join(str(piece.seed) for piece in unit)}" for unit in group.units)
        + "+" * group.together
        for group in groups
    ]


def test_pieces_of_like_length_are_grouped_and_groups_are_of_like_size() -> None:
    some, suite = pieces(9, 50, 10, stack=5)
    assert shown(groups_of(some, suite, spec())) == ["t1.0 t1.1 t2.0+", "t2.1 t0.0 t0.1+"]
    assert shown(groups_of(some[:1], suite, spec())) == ["t0.0"]
    some, suite = pieces(9, 50, 10, stack=5, rates=(0.1, 0.2), choose="task")
    assert shown(groups_of(some, suite, spec())) == ["t1.01+", "t2.01+", "t0.01+"]
    some, suite = pieces(9, 50, stack=2, choose="task", rates=(0.1, 0.2))
    assert shown(groups_of(some, suite, spec())) == ["t1.01+", "t0.01+"]  # a unit stays whole
    some, suite = pieces(9, 50, stack=1)
    assert shown(groups_of(some, suite, spec())) == ["t1.0", "t1.1", "t0.0", "t0.1"]


def test_methods_are_apart_and_what_cannot_be_trained_together_is_alone() -> None:
    some, suite = pieces(9, stack=4, methods=("row", "full"))
    assert shown(groups_of(some, suite, spec())) == ["t0.0 t0.1+", "t0.0", "t0.1"]
    assert shown(groups_of(some[::2], suite, spec("hyperformer"))) == ["t0.0", "t0.1"]
    assert shown(groups_of(some[::2], suite, spec(kind="bottleneck"))) == ["t0.0", "t0.1"]


def test_rates_are_tried_of_what_a_method_trains() -> None:
    options = AdaptationOptions(lr=0.3, routing_lr=0.4, rates=(1e-3, 1e-4), routing_rates=(0.5, 0.1))

    def tried(method: Any, router: str) -> list[tuple[float, float]]:
        return [(each.lr, each.routing_lr) for each in candidates(options, method, ROUTERS[router])]

    both = [(1e-3, 0.5), (1e-3, 0.1), (1e-4, 0.5), (1e-4, 0.1)]
    skills, rows = [(1e-3, 0.4), (1e-4, 0.4)], [(0.3, 0.5), (0.3, 0.1)]
    assert tried("skills", "polytropon") == tried("fresh", "soft") == both
    assert tried("row", "polytropon") == rows
    assert tried("average", "polytropon") == tried("full", "polytropon") == tried("skills", "shared") == skills
    assert tried("skills", "hyperformer") == tried("row", "token_moe") == skills  # their rows learn as skills do


def test_the_best_training_has_the_best_mean_over_splits_and_bounds_in_each() -> None:
    unit = pieces(1)[0]
    assert _best([[0.5, 0.9, 0.5], [0.6, 0.1, 0.6]], unit) == 0
    assert _best([[None, 0.2, 0.3], [1.0, 0.2, 0.3]], unit) == 2
    with pytest.raises(InputError, match="Adapting to 'task0' by skills"):
        _best([[None, 0.2], [1.0, None]], unit)


def test_a_group_that_moves_writes_elsewhere_and_is_the_same_otherwise(tmp_path: Path) -> None:
    recipe = AdaptationRecipe()
    pieces = [Piece(recipe=recipe, out=tmp_path / "here", method="row", task="t", seed=seed) for seed in (0, 1)]
    group = Group(units=((pieces[0],), (pieces[1],)), together=True)
    moved = group.moved(tmp_path / "there")
    assert [piece.out for piece in moved.pieces] == [tmp_path / "there"] * 2 == [moved.out] * 2
    assert moved.moved(tmp_path / "here") == group and group.out == tmp_path / "here"
