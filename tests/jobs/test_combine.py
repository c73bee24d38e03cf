"""Combining skills: systems equal what each skill and each merge predicts alone, and mistakes are said beforehand."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import run_here
from training_cases import rows_of, spec

from polyray.backbones import load_backbone
from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs.combine import Config, check
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.reports.sections.combined import section
from polyray.reports.sections.scores import section as scores_section
from polyray.reuse import Shelf, reusing
from polyray.skills.inventory import Provenance, new_skill
from polyray.skills.skill import load_skill, save_skill
from polyray.tasks import load_suite
from polyray.training.combining import pieces
from polyray.training.data import encoded
from polyray.training.evaluation import predictions
from polyray.training.model import bare, build
from polyray.training.multitask import backbone_card
from polyray.training.skill_source import SkillSource
from polyray.training.transfer.merged_cells import merge_skills

TASKS = ("colour", "shape", "size", "taste")
NAMES = {
    "colour": "red green blue",
    "shape": "round square flat",
    "size": "large small tiny",
    "taste": "sweet sour hot",
}
SMALL = ("subsets=[1, 2]", "clusters=[2]", "resamples=20", "ways={average: {kind: task_arithmetic, normalize: true}}")


@pytest.fixture(autouse=True, scope="module")
def _shelf() -> Iterator[None]:
    """Load the backbone once."""
    with reusing(Shelf()):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "partition.json").write_text(json.dumps({"train": TASKS}))
    for task in TASKS:
        (folder / task).mkdir()
        words = NAMES[task].split()
        for split, n in (("train", 3), ("dev", 3), ("test", 6)):
            rows = [
                {"input": f"{task} {task} {split} {i} is {words[i % 3]}", "output": words[i % 3], "choices": words}
                for i in range(n)
            ]
            (folder / task / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module", params=["tiny-encoder", "tiny-causal"])
def folders(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A skill of each task, with random numbers that change what the backbone answers."""
    suite = load_suite(load_config(Config, overrides=["suite=jsonl", f"tasks.path={data}"]).tasks)
    model = build(load_backbone(request.param), spec("private"), [*suite.tasks.values()], torch.Generator())
    with torch.no_grad():
        for number, parameter in enumerate(model.inventory.parameters()):
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(number))
    home, card = tmp_path_factory.mktemp("skills"), backbone_card(model.backbone)
    for index, task in enumerate(TASKS):
        provenance = Provenance(backbone=card, suite="jsonl", tasks=(task,), data={}, seed=0)
        save_skill(new_skill(task, model, model.inventory.skill(index), provenance, {}), home / task)
    return [home / task for task in TASKS]


def overrides(data: Path, folders: list[Path], *more: str) -> list[str]:
    return ["suite=jsonl", f"tasks.path={data}", f"skills=[{', '.join(map(str, folders))}]", *SMALL, *more]


def combine(out: Path, data: Path, folders: list[Path], *more: str) -> dict[str, Any]:
    return run_here("combine", out, *overrides(data, folders, *more)).metrics


def test_systems_answer_as_the_skills_and_merges_they_are_made_of(
    data: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = combine(tmp_path / "run", data, folders)
    systems = metrics["systems"]
    suite = load_suite(load_config(Config, overrides=["suite=jsonl", f"tasks.path={data}"]).tasks)
    examples = [example for task in TASKS for example in suite.tasks[task].examples("test")]
    ranked = EvaluationOptions(method="rank")
    for task, folder in zip(TASKS, folders, strict=True):  # as `evaluate` scores each skill
        model = SkillSource.of(folder).load([task])
        rows = rows_of(model, suite, suite.tasks[task].examples("test"))
        score = suite.tasks[task].score(predictions(model, rows, ranked, 8), rows.examples)
        assert systems["own skill"]["tasks"][task] == metrics["tasks"][task] == pytest.approx(score)
    backbone = load_backbone(model.backbone.name)
    rows = encoded(backbone, suite, examples, TextOptions())
    way = load_config(Config, overrides=overrides(data, folders)).ways["average"]
    merge_skills(backbone.network, [load_skill(folder) for folder in folders], way, seed=0)
    answers = predictions(bare(backbone, TASKS).eval(), rows, ranked, 8)
    for task in TASKS:
        pairs = [(x, example) for x, example in zip(answers, examples, strict=True) if example.task == task]
        score = suite.tasks[task].score([x for x, _ in pairs], [example for _, example in pairs])
        assert systems["merged, average"]["tasks"][task] == pytest.approx(score)
    costs = {name: (row["passes"], row["in_memory"]) for name, row in systems.items()}
    assert costs == {
        "own skill": (1, 4), "ensemble of all": (4, 4), "ensemble of 1": (1, 1), "ensemble of 2": (2, 2),
        "merged, average": (1, 1), "routed to 1": (2, 4), "routed to 2": (3, 4),
        "routed to 1 of 2 clusters, average": (2, 2),
    }  # fmt: skip
    assert all(row["low"] <= row["mean"] <= row["high"] for row in systems.values())
    assert sorted(name for group in metrics["clusters"]["2"] for name in group) == sorted(TASKS)
    page = section(tmp_path / "run")
    assert page is not None and len(page.blocks) == 4 and scores_section(tmp_path / "run") is None
    monkeypatch.setattr(pieces, "_scores", None)  # nothing is scored twice
    (tmp_path / "run" / "result.json").unlink()
    assert combine(tmp_path / "run", data, folders) == metrics


def test_inputs_of_a_task_go_to_its_own_skill(data: Path, folders: list[Path], tmp_path: Path) -> None:
    systems = combine(tmp_path, data, folders, "ways={}", "clusters=[]", "subsets=[]", "routed=[1]", "resamples=0")[
        "systems"
    ]
    assert list(systems) == ["own skill", "ensemble of all", "routed to 1"]
    if "encoder" in load_skill(folders[0]).card.backbone.name:  # its inputs begin with the name of their task
        assert systems["routed to 1"]["tasks"] == systems["own skill"]["tasks"]


def test_mistakes_are_said_before_anything_starts(data: Path, folders: list[Path], tmp_path: Path) -> None:
    def refused(*more: str) -> str:
        with pytest.raises(InputError) as caught:
            check(load_config(Config, overrides=overrides(data, folders, *more)))
        return str(caught.value)

    skill = load_skill(folders[0])
    assert "two skills at least" in refused(f"skills=[{folders[0]}]")
    assert "Both" in refused(f"skills=[{folders[0]}, {folders[0]}]") and "clusters are merged" in refused(
        "ways={}", "clusters=[3]"
    )
    other = skill.card.backbone.model_copy(update={"fingerprint": "0" * 64, "name": "other"})
    cards: dict[str, dict[str, Any]] = {
        "strange": {"backbone": other}, "unknown": {"tasks": ("smell",)}, "nameless": {"tasks": ()},
    }  # fmt: skip
    for name, update in cards.items():
        card = skill.card.model_copy(update={**update, "name": name})
        save_skill(type(skill)(card=card, tensors=skill.tensors), tmp_path / name)
    assert "combine skills of one backbone" in refused(f"skills=[{folders[1]}, {tmp_path / 'strange'}]")
    assert "no task 'smell'" in refused(f"skills=[{folders[1]}, {tmp_path / 'unknown'}]")
    assert "names no task" in refused(f"skills=[{folders[1]}, {tmp_path / 'nameless'}]")
    assert "rising numbers" in refused("routed=[2, 1]")
    shutil.copytree(data, tmp_path / "open")
    for file in (tmp_path / "open" / "colour").iterdir():
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps({"input": row["input"], "output": row["input"]}) + "\n" for row in rows))
    assert "Task 'colour' has no closed set of answers" in refused(f"tasks.path={tmp_path / 'open'}")
