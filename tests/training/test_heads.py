"""Tasks with heads through every job: trained, saved in the skills, scored again, carried to new tasks."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from training_cases import train_alone

from polyray.config import load_config
from polyray.errors import InputError, Interrupted
from polyray.skills.inventory import load_inventory
from polyray.skills.skill import load_skill
from polyray.training.fewshot import adapt_one
from polyray.training.methods import METHODS
from polyray.training.model import load_model
from polyray.training.pieces import AdaptationRecipe, Piece
from polyray.training.recipe import TrainingRecipe
from polyray.training.scoring import ScoringRecipe, Share, score_share

TINY = (
    "backbone=tiny-encoder", "training.steps=6", "training.batch=4", "training.report_every=3", "training.save_every=3",
    "training.lr=1e-2", "modules.rank=2", "modules.sites=[ffn]", "routing.n_skills=2",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """A suite of files with two training tasks, one test task with the same head, and one with a head of its own."""

    suite: tuple[str, ...]
    key: str
    metric: str
    relative: str
    stranger: str = ""


def write(folder: Path, task: str, suffix: str, text: str) -> None:
    (folder / task).mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (folder / task / f"{split}.{suffix}").write_text(text.replace("SPLIT", split), encoding="utf-8")


def conll(folder: Path) -> Case:
    cities = "".join(f"{word} O\nNew{n} B-LOC\nYork I-LOC\nSPLIT{n} O\n\n" for n, word in enumerate(["in", "at"] * 4))
    for task in ("eng", "hau", "swa"):
        write(folder, task, "txt", cities)
    write(folder, "names", "txt", cities.replace("LOC", "PER"))
    partition = {"train": ["eng", "hau"], "test": ["swa", "names"]}
    (folder / "partition.json").write_text(json.dumps(partition))
    return Case(
        suite=("suite=conll", f"tasks.path={folder}"), key="tagging:B-LOC,I-LOC,O", metric="Entity-F1",
        relative="swa", stranger="names",
    )  # fmt: skip


def text(folder: Path) -> Case:
    for task in ("eng", "hau", "swa"):
        write(folder, task, "txt", "".join(f"SPLIT {n} one two three four five\n" for n in range(12)))
    (folder / "partition.json").write_text(json.dumps({"train": ["eng", "hau"], "test": ["swa"]}))
    return Case(
        suite=("suite=text", f"tasks.path={folder}", "text.max_input=64"), key="masked_lm", metric="Masked-ACC",
        relative="swa",
    )  # fmt: skip


CASES = {"conll": conll, "text": text}


@pytest.fixture(scope="module", params=sorted(CASES))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Path]:
    """A case and the run folder of its training."""
    out = tmp_path_factory.mktemp(request.param)
    case = CASES[request.param](out / "data")
    recipe = load_config(TrainingRecipe, overrides=[*TINY, *case.suite])
    metrics = train_alone(out, recipe)
    (out / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return case, out


def result(out: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return scores


def test_the_head_is_trained_at_the_skills_rate_and_saved_in_every_skill(trained: tuple[Case, Path]) -> None:
    case, out = trained
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"] and lines[0]["lr"]["heads"] == lines[0]["lr"]["skills"]
    heads = [load_skill(folder).heads for folder in load_inventory(out / "skills").skill_folders]
    assert len(heads) == 2 and {name.partition("/")[0] for name in heads[0]} == {case.key}
    assert all(torch.equal(heads[1][name], tensor) for name, tensor in heads[0].items())
    assert any(bool(tensor.any()) for tensor in heads[0].values())


def test_a_training_that_is_stopped_goes_on_with_its_head_and_what_it_would_have_hidden(
    trained: tuple[Case, Path], tmp_path: Path
) -> None:
    case, out = trained
    recipe = load_config(TrainingRecipe, overrides=[*TINY, *case.suite])
    (tmp_path / "stop").touch()
    with pytest.raises(Interrupted, match="after 1 of 6 steps"):
        train_alone(tmp_path, recipe)
    (tmp_path / "stop").unlink()
    train_alone(tmp_path, recipe)
    names = [path.relative_to(out) for path in sorted(out.rglob("skills/**/*.*")) if "checkpoints" not in path.parts]
    assert len(names) == 6  # two skills, the router, and a card of each
    for name in (Path("metrics.jsonl"), *names):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_a_loaded_model_scores_as_the_training_did(trained: tuple[Case, Path], tmp_path: Path) -> None:
    case, out = trained
    recipe = load_config(ScoringRecipe, overrides=[*case.suite, f"skills={out / 'skills'}"])
    names = tuple(result(out)["tasks"])
    scores = score_share(Share(recipe=recipe, out=tmp_path, tasks=names))["scores"]
    assert scores == result(out)["tasks"] and all(next(iter(scores[name])) == case.metric for name in names)
    lines = (tmp_path / "predictions" / f"{names[0]}.jsonl").read_text(encoding="utf-8").splitlines()
    assert all("prediction" in json.loads(line) for line in lines)


def adapted(
    case: Case, out: Path, to: Path, task: str, method: Any, lr: float = 1e-12
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The outcome of an adaptation in one step, by default of next to no length, and the heads in its skill."""
    few = ["adapt.steps=1", "adapt.looks=1", "adapt.batch=2", f"adapt.lr={lr}", "adapt.weight_decay=0"]
    recipe = load_config(AdaptationRecipe, overrides=[*case.suite, *few, f"skills={out / 'skills'}"])
    piece = Piece(recipe=recipe, out=to, task=task, seed=0, method=method)
    outcome = adapt_one(piece)
    folder = to / "skills" / piece.name
    return outcome, dict(load_skill(folder).heads) if folder.exists() else {}


@pytest.mark.parametrize("method", METHODS)
def test_a_new_task_begins_with_the_trained_head_except_where_everything_is_fresh(
    trained: tuple[Case, Path], tmp_path: Path, method: str
) -> None:
    case, out = trained
    outcome, heads = adapted(case, out, tmp_path, case.relative, method)
    assert 0 <= outcome["score"] <= 1 and outcome["scores"][case.metric] == outcome["score"]
    before = load_skill(load_inventory(out / "skills").skill_folders[0]).heads
    if method != "full":  # which saves no skill
        assert heads.keys() == before.keys()
        same = all(torch.allclose(heads[name], before[name], atol=1e-9) for name in heads)
        assert same == (method != "fresh")


def test_a_head_is_trained_with_the_skills_and_left_alone_with_a_row(
    trained: tuple[Case, Path], tmp_path: Path
) -> None:
    case, out = trained
    before = load_skill(load_inventory(out / "skills").skill_folders[0]).heads
    for method, trains in (("skills", True), ("row", False)):
        _, heads = adapted(case, out, tmp_path, case.relative, method, lr=0.1)
        assert all(torch.equal(heads[name], before[name]) for name in heads) != trains, method


def test_a_new_task_of_other_labels_begins_with_a_head_of_its_own(trained: tuple[Case, Path], tmp_path: Path) -> None:
    case, out = trained
    if case.stranger:
        _, heads = adapted(case, out, tmp_path, case.stranger, "skills")
        assert {name.partition("/")[0] for name in heads} == {case.key.replace("LOC", "PER")}


def test_the_trained_model_comes_back_without_its_suite(trained: tuple[Case, Path]) -> None:
    case, out = trained
    model = load_model(load_inventory(out / "skills"))
    assert list(model.heads) == [case.key]
    assert not model.training and not model.heads[case.key].training
    state = model.heads_state()
    name, tensor = next(iter(state.items()))
    with pytest.raises(InputError, match="does not fit"):
        model.load_heads_state({**state, name: torch.zeros(len(tensor) + 1)})


def test_a_backbone_that_writes_is_refused(trained: tuple[Case, Path], tmp_path: Path) -> None:
    case, _ = trained
    recipe = load_config(TrainingRecipe, overrides=[*TINY, *case.suite, "backbone=tiny-causal"])
    fitting = r"needs an encoder.*; the backbone tiny-causal is of the kind 'causal'\..* of: answers, dialogue, chat\.$"
    with pytest.raises(InputError, match=fitting):
        train_alone(tmp_path, recipe)
    assert list(tmp_path.iterdir()) == []
