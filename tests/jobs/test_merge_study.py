"""The study of merging: what is trained and merged, what the table says, what is refused before anything starts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import run_here
from tuning_cases import write_names

from polyray.backbones import load_backbone
from polyray.errors import InputError
from polyray.modules.changes import SparseChange
from polyray.reports.sections.merged import section
from polyray.reports.sections.scores import section as scores_section
from polyray.reuse import Shelf, reusing
from polyray.skills.card import BackboneCard
from polyray.skills.sparse_delta import SparseDelta, sparse_skill
from polyray.training.transfer.merge_options import WayOptions
from polyray.training.transfer.merge_plan import subsets
from polyray.training.transfer.merge_table import gather_merged
from polyray.training.transfer.merged_cells import merge_skills
from polyray.training.transfer.recipe import TransferRecipe

TASKS = ("first", "second", "third")
TINY = (
    "study=merge", "suite=conll", "methods=[full, lora, lottery_ticket]", "task.training.steps=2",
    "task.training.lr=1e-2", "task.training.batch=4", "task.each={lora: {method.rank: 2}}", "merge.counts=[2, 7]",
    "merge.orders=2", "resamples=20",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _shelf() -> Iterator[None]:
    """Load backbone and suites once."""
    with reusing(Shelf()):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(TASKS):
        write_names(folder, name, seed)
    return folder


def study(out: Path, data: Path, *more: str) -> dict[str, Any]:
    """The metrics of the tiny study, in this process."""
    return run_here("transfer", out, *TINY, f"tasks.path={data}", *more).metrics


def test_a_merge_is_measured_against_the_skills_alone_and_the_first_way(data: Path, tmp_path: Path) -> None:
    more = ("methods=[full]", "tasks.include=[first, second]", "merge.orders=1", "task.each={}", "resamples=0")
    metrics = study(tmp_path / "run", data, *more)
    alone = metrics["alone"]["full"]["tasks"]
    assert list(alone) == ["first", "second"]
    (first,), (point,) = (metrics["merged"][f"full, {way}"]["points"] for way in ("overlap", "average"))
    mean = sum(next(iter(score.values())) for score in alone.values()) / 2
    assert point["n"] == 2 and point["share"] == pytest.approx(point["mean"] / mean if mean else 0.0)
    assert first["gain"] == {"mean": 0} and point["gain"]["mean"] == pytest.approx(point["mean"] - first["mean"])


@pytest.mark.processes  # nine trainings
def test_each_skill_is_trained_once_and_scored_alone_and_merged(data: Path, tmp_path: Path) -> None:
    metrics = study(tmp_path / "run", data)
    trainings = {path.name: path for path in (tmp_path / "run" / "trainings").iterdir()}
    methods = ("full", "lora", "lottery_ticket")
    assert set(trainings) == {f"skill-{task}-{method}-0" for task in TASKS for method in methods}
    assert "full" not in (trainings["skill-first-lottery_ticket-0"] / "metrics.jsonl").read_text()  # it was shared
    for task in TASKS:  # with the head of its own skill, though all tasks have equal tags
        for method in methods:
            trained = json.loads((trainings[f"skill-{task}-{method}-0"] / "result.json").read_text())
            score = metrics["alone"][method]["tasks"][task]
            assert next(iter(score.values())) == pytest.approx(trained["metrics"]["mean"]), (task, method)
    assert list(metrics["merged"]) == [f"{method}, {way}" for method in methods for way in ("overlap", "average")]
    for row in metrics["merged"].values():
        assert [point["n"] for point in row["points"]] == [2, 3]
    assert metrics["merged"]["full, overlap"]["points"][0]["gain"]["mean"] == 0 and "untrained" not in metrics
    page = section(tmp_path / "run")
    assert page is not None and "lottery_ticket, overlap" in str(page.blocks) and len(page.blocks) == 4
    assert scores_section(tmp_path / "run") is None

    before = {path: path.read_bytes() for path in (tmp_path / "run" / "scores").iterdir()}
    (tmp_path / "run" / "result.json").unlink()
    next(iter(before)).unlink()
    assert study(tmp_path / "run", data) == metrics
    assert {path: path.read_bytes() for path in before} == before


def test_sets_of_tasks_are_nested_and_the_whole_stands_once() -> None:
    recipe = TransferRecipe.model_validate({"study": "merge", "merge": {"counts": [2, 3, 5], "orders": 2}})
    sets = subsets(recipe, "abcde")
    assert [(order, len(names)) for order, names in sets] == [(0, 2), (0, 3), (1, 2), (1, 3), (0, 5)]
    assert sets[1][1][:2] == sets[0][1] and set(sets[0][1]) != set(sets[2][1]) and set(sets[-1][1]) == set("abcde")


def test_parameters_are_merged_worked_by_hand() -> None:
    network = load_backbone("tiny-encoder").network
    name, parameter = next(iter(network.named_parameters()))
    before = {key: tensor.detach().clone() for key, tensor in network.named_parameters()}

    def skill(indices: list[int], *values: float) -> Any:
        change = SparseChange(values=torch.tensor(values), support=torch.tensor(indices), shape=tuple(parameter.shape))
        nowhere = BackboneCard(name="", fingerprint="")
        return sparse_skill(SparseDelta(changes={name: change}), name="s", backbone=nowhere)

    skills = [skill([0, 2], 1.0, 4.0), skill([2, 5], 2.0, 8.0)]
    expected = {"overlap": [1.0, 0.0, 3.0, 0.0, 0.0, 8.0], "average": [0.5, 0.0, 3.0, 0.0, 0.0, 4.0]}
    for way, changes in expected.items():
        options = TransferRecipe().merge.ways[way]
        merge_skills(network, skills, options, seed=0)
        after = dict(network.named_parameters())
        assert torch.allclose((after[name] - before[name]).flatten()[:6], torch.tensor(changes), atol=1e-6), way
        assert all(torch.equal(after[key], tensor) for key, tensor in before.items() if key != name)
        with torch.no_grad():
            after[name].copy_(before[name])
    half = WayOptions.model_validate({"kind": "ties", "part_density": 1 / parameter.numel()})
    merge_skills(network, skills, half, seed=0)  # of each skill the largest entry stays
    changed = (parameter - before[name]).flatten()
    assert changed.nonzero().flatten().tolist() == [2, 5] and changed[[2, 5]].tolist() == pytest.approx([4, 8])


def test_the_table_worked_by_hand() -> None:
    def outcome(method: str, way: str, **scores: float) -> dict[str, Any]:
        tasks = {task: {"scores": {"F1": score}, "too_long": 1} for task, score in scores.items()}
        return {"method": method, "way": way, "tasks": tasks}

    recipe = TransferRecipe.model_validate(
        {"study": "merge", "methods": ["full", "lora"], "merge": {"ways": {"sum": {"kind": "task_arithmetic"}}}}
    )
    outcomes = [
        outcome("", "alone", a=0.1, b=0.1), outcome("full", "alone", a=0.8), outcome("full", "alone", b=0.4),
        outcome("lora", "alone", a=0.6), outcome("lora", "alone", b=0.6), outcome("full", "sum", a=0.4, b=0.2),
        outcome("lora", "sum", a=0.6, b=0.3),
    ]  # fmt: skip
    metrics = gather_merged(recipe, ("a", "b"), outcomes)
    (full,), (lora,) = (metrics["merged"][f"{method}, sum"]["points"] for method in ("full", "lora"))
    assert (full["mean"], full["share"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert (lora["mean"], lora["share"], lora["std"]) == (pytest.approx(0.45), pytest.approx(0.75), 0)
    assert lora["gain"]["mean"] == pytest.approx(0.15)
    assert (lora["low"], lora["high"]) == (pytest.approx(0.3), pytest.approx(0.6))
    assert (lora["gain"]["low"], lora["gain"]["high"]) == (pytest.approx(0.1), pytest.approx(0.2))
    assert metrics["mean"] == pytest.approx(0.45) and metrics["tasks"]["b"]["F1"] == 0.3 and metrics["too_long"] == 10
    assert (metrics["untrained"]["mean"], metrics["alone"]["full"]["mean"]) == (0.1, pytest.approx(0.6))


def test_mistakes_are_found_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    mistakes = {
        "methods=[lora, bottleneck]": "'bottleneck' change no parameters",
        "tasks.include=[first]": "there is only 'first'",
        "source=first": "is not read: study=merge has no languages",
        "merge.ways={f: {kind: fisher}}": "needs Fisher information",
        "merge.ways={r: {kind: regmean}}": "needs inner products",
        "merge.ways={s: {kind: slerp}}": "one part",
        "merge.ways={d: {kind: della, part_density: 0.95}}": "between 0 and 1",
        "merge.ways={alone: {kind: overlap}}": "none called 'alone'",
        "task.each={lottery_ticket: {method.iterations: 2}}": r"first phase \(see share\)\. method\.iterations",
        "task.each={lottery_ticket: {method.iteration: 2}}": r"^No field is called 'method\.iteration'",
        "merge.counts=[4, 2]": "rising numbers from 2",
        "study=matrix": "merge.counts .* is not read: study is matrix",
    }
    for override, message in mistakes.items():
        with pytest.raises(InputError, match=message):
            study(tmp_path / "run", data, override)
        assert not (tmp_path / "run").exists(), override
