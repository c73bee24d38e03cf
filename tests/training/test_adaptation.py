"""Every way of adapting, on every kind of backbone and router, on tiny networks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_cases import KNOWN, NEW, SUITE, answers, rows_of, spec, suite_of, tiny_model

from polyray.errors import InputError
from polyray.files import make_folders
from polyray.objectives import EvaluationOptions
from polyray.routing import ROUTERS
from polyray.runs.sealed import write_sealed
from polyray.training.adaptation import FewShotData, adapt
from polyray.training.evaluation import score
from polyray.training.fewshot import relatives
from polyray.training.methods import METHODS, AdaptationOptions
from polyray.training.model import Modular
from polyray.training.pieces import AdaptationRecipe, Piece
from polyray.training.starting import average

FEW = AdaptationOptions(steps=4, batch=4, looks=2, lr=1e-2, warmup=0.1)
WRITING, CHOOSING = ("tiny-seq2seq", "tiny-causal"), "tiny-encoder"


def model(backbone: str, routing: str = "polytropon") -> Modular:
    return tiny_model(backbone, [SUITE.tasks[name] for name in KNOWN], spec(routing))


def data(trained: Modular) -> FewShotData:
    rows = rows_of(trained, SUITE, answers(NEW))
    return FewShotData(task=SUITE.tasks[NEW], train=rows, dev=rows)


def state(of: Modular) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in of.state_dict().items()}


def with_dropout(network: torch.nn.Module) -> None:
    """The tiny backbones have none of their own."""
    dropouts = [module for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert dropouts
    for module in dropouts:
        module.p = 0.3


@pytest.mark.parametrize("backbone", [*WRITING, CHOOSING])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_adapts_every_kind_of_backbone_and_leaves_the_inventory_as_it_was(
    backbone: str, method: str
) -> None:
    trained = model(backbone)
    before = {key: value.clone() for key, value in trained.inventory.state_dict().items()}
    adapted = adapt(trained, method, data(trained), FEW, EvaluationOptions())  # type: ignore[arg-type]
    assert all(torch.equal(value, before[key]) for key, value in trained.inventory.state_dict().items())
    assert adapted.model.router.tasks.names == (NEW,)
    assert 0 <= adapted.dev <= 1 and 1 <= adapted.step <= FEW.steps


@pytest.mark.parametrize("routing", ROUTERS)
def test_every_router_adapts(routing: str) -> None:
    trained = model(CHOOSING, routing)
    adapted = adapt(trained, "skills", data(trained), FEW, EvaluationOptions())
    before = trained.inventory.state_dict()
    moved = adapted.model.inventory.state_dict()
    fresh = trained.router.starts_afresh
    assert adapted.model.inventory.n_skills == (1 if fresh else trained.inventory.n_skills)
    assert fresh or any(not torch.equal(value, before[key]) for key, value in moved.items())


def test_the_seed_fixes_dropout_too_and_nobody_elses_draws_change() -> None:
    states = []
    for other in (1, 2):
        trained = model(CHOOSING)
        with_dropout(trained.network)
        torch.manual_seed(other)
        before = torch.get_rng_state()
        adapted = adapt(trained, "skills", data(trained), FEW, EvaluationOptions()).model
        states.append(state(adapted))
        assert not adapted.training, "the skill that its mix amounts to would be saved with the router's noise"
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())


def test_row_trains_the_row_alone() -> None:
    trained = model("tiny-seq2seq")
    adapted = adapt(trained, "row", data(trained), FEW, EvaluationOptions())
    before = trained.inventory.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in adapted.model.inventory.state_dict().items())
    fixed = model("tiny-seq2seq", "shared")
    few_shots = data(fixed)
    with pytest.raises(InputError, match="fixed"):
        adapt(fixed, "row", few_shots, FEW, EvaluationOptions())


def test_average_starts_from_the_mean_of_the_skills() -> None:
    trained = model("tiny-seq2seq")
    skills = [trained.inventory.skill(index) for index in range(3)]
    few = AdaptationOptions(steps=1, batch=2, looks=1, lr=1e-12, warmup=0.0, weight_decay=0.0)
    adapted = adapt(trained, "average", data(trained), few, EvaluationOptions())
    for name, value in adapted.model.inventory.skill(0).items():
        torch.testing.assert_close(value, torch.stack([skill[name] for skill in skills]).mean(0))


def test_sparse_skills_have_a_mean_where_they_change_the_same_entries() -> None:
    tasks = [SUITE.tasks[name] for name in KNOWN]
    inventory = tiny_model("tiny-encoder", tasks, spec(kind="sparse", density=0.1)).inventory
    with pytest.raises(InputError, match="sparse and differ"):
        average(inventory)
    first = inventory.skill(0)
    for index in range(1, inventory.n_skills):
        inventory.load_skill(index, first | {k: index * x for k, x in first.items() if x.is_floating_point()})
    mean = average(inventory)
    assert mean.keys() == first.keys()
    for name, tensor in first.items():
        expected = tensor * (1 + 1 + 2) / 3 if tensor.is_floating_point() else tensor
        torch.testing.assert_close(mean[name], expected)


def test_scores_are_kept_by_task_and_metric() -> None:
    examples = [*answers("colour", 3), *answers("size", 3)]
    assert score(SUITE.tasks, examples, ["red", "blue", "green", "red", "red", "red"]) == {
        "colour": {"ACC": 1.0},
        "size": {"ACC": pytest.approx(1 / 3)},
    }


def test_relatives_are_the_known_tasks_of_the_same_category() -> None:
    categories = {"colour": "qa/closed", "size": "classification", "shape": "qa/open"}
    suite = suite_of(*(replace(SUITE.tasks[name], category=category) for name, category in categories.items()))
    assert relatives(suite, model("tiny-encoder"), "shape") == ["colour"]


def test_no_name_of_a_task_leads_out_of_the_run_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    names = ("../../escaped", "/absolute", "glue/rte", "..", ".", "é" * 250, "-rf", "a\\b")
    pieces = [Piece(recipe=AdaptationRecipe(skills="s"), out=out, task=name, seed=1, method="row") for name in names]
    for piece in pieces:
        assert piece.result_file.resolve().parent == out / "adapted"
        assert piece.skill_folder.resolve().parent == out / "skills"
        make_folders(piece.result_file.parent)
        write_sealed(piece.result_file, {"skill": ""})
        assert piece.outcome() == {"skill": ""}
    assert len(list((out / "adapted").iterdir())) == len(names) and [path.name for path in tmp_path.iterdir()] == [
        "run"
    ]
