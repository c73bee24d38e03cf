"""Small tasks, models and trainings in one process, for tests of objectives and training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from polyray.backbones import load_backbone
from polyray.modules.options import SkillOptions
from polyray.modules.site import without_skills
from polyray.objectives import TextOptions
from polyray.routing import RoutingOptions
from polyray.runs.run import Run
from polyray.skills.spec import InventorySpec
from polyray.tasks import Suite, Task, TextAnswers
from polyray.training.data import Encoded, encoded
from polyray.training.model import Modular, build
from polyray.training.multitask import train
from polyray.training.recipe import TrainingRecipe
from polyray.training.worker import Alone

KNOWN, NEW = ("colour", "size"), "shape"
WORDS = ("red", "blue", "green")

COLOURS = ("red", "green", "blue")


def no_examples(split: str, seed: int) -> tuple[Any, ...]:
    return ()


def answer_task(name: str) -> Task:
    return Task(name=name, category="", metric="ACC", labels=WORDS, seeds=(0,), read=no_examples)


def suite_of(*tasks: Task) -> Suite:
    return Suite(name="toy", tasks={task.name: task for task in tasks}, partition={})


SUITE = suite_of(*map(answer_task, (*KNOWN, NEW)))


def answers(name: str, n: int = 6) -> tuple[TextAnswers, ...]:
    return tuple(TextAnswers(task=name, input=f"item {i}", outputs=(WORDS[i % 3],)) for i in range(n))


def spec(
    routing: str = "polytropon", options: Mapping[str, Any] | None = None, kind: str = "lora", **modules: Any
) -> InventorySpec:
    """Three skills in the feed-forward layers, LoRA of rank 2 unless `kind` says else; `options` are the router's."""
    usual: dict[str, dict[str, Any]] = {
        "polytropon": {"n_skills": 3},
        "expert": {"allocation": {"colour": (0,), "size": (1,)}},
    }
    defaults = {"kind": routing, **usual.get(routing, {}), **(options or {})}
    return InventorySpec(
        modules=SkillOptions.model_validate(
            {"kind": kind, **({"rank": 2} if kind == "lora" else {}), "sites": ("ffn",), **modules}
        ),
        routing=RoutingOptions.model_validate(defaults),
    )


def tiny_model(name: str, tasks: Sequence[Task], inventory: InventorySpec | None = None, moved: bool = True) -> Modular:
    """A tiny backbone, frozen, with skills for `tasks` that no longer are fresh where `moved`."""
    backbone = load_backbone(name)
    model = build(backbone, inventory or spec(), tasks, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for seed, parameter in enumerate(model.inventory.parameters() if moved else ()):
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    backbone.freeze()
    return model.eval()


def rows_of(model: Modular, suite: Suite, examples: Sequence[Any], text: TextOptions | None = None) -> Encoded:
    """The examples as rows, encoded without skills as jobs do it."""
    with without_skills(model.inventory):
        return encoded(model.backbone, suite, examples, text or TextOptions())


def train_alone(out: Path, recipe: TrainingRecipe, device: str = "cpu") -> dict[str, Any]:
    """The metrics of a training by the only worker, outside Ray, in the folder `out`."""
    return train(recipe.model_dump(mode="json"), Run(out), Alone(torch.device(device)))


def write_colours(folder: Path) -> tuple[str, str]:
    """Two tasks of three colours as JSON lines, one to train on, one to adapt to: the overrides that choose them."""
    for task, word in (("known", "leaf"), ("new", "sky")):
        (folder / task).mkdir(parents=True)
        (folder / task / "task.json").write_text(json.dumps({"labels": COLOURS, "metric": "ACC"}))
        for split in ("train", "dev", "test"):
            rows = [{"input": f"{word} {split} {n}", "output": COLOURS[n % 3]} for n in range(6)]
            (folder / task / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "partition.json").write_text(json.dumps({"train": ["known"], "dev": [], "test": ["new"]}))
    return "suite=jsonl", f"tasks.path={folder}"
