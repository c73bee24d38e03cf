"""Lottery tickets of language models' skills: a dense training chooses entries, and training begins again."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from training_cases import KNOWN, SUITE, spec, tiny_model, train_alone

from polyray.config import load_config
from polyray.errors import InputError, Interrupted
from polyray.jobs import polytropon
from polyray.runs.metrics import read_metrics
from polyray.runs.run import Run
from polyray.skills.inventory import load_inventory
from polyray.skills.skill import load_skill
from polyray.sparsity import keep_largest
from polyray.training.multitask import train
from polyray.training.recipe import TrainingRecipe
from polyray.training.tickets import dense_spec, rewound
from polyray.training.worker import Alone

TINY = [
    *(f"tasks.planted.{name}=4" for name in ("train_examples", "dev_examples", "test_examples")), "training.batch=4",
    "backbone=tiny-seq2seq", "modules.kind=sparse", "modules.density=0.05", "modules.sites=[ffn]", "routing.n_skills=2",
    "training.report_every=1", "training.save_every=1",
]  # fmt: skip


class Stopped(Run):
    """A run that is asked to stop after every step."""

    @property
    def stop_requested(self) -> bool:
        return True


def recipe(*more: str) -> TrainingRecipe:
    return load_config(TrainingRecipe, overrides=[*TINY, "training.steps=2", "ticket.steps=2", *more])


def skills(out: Path) -> list[dict[str, Tensor]]:
    """The tensors of each skill of a run."""
    return [load_skill(folder).modules for folder in load_inventory(out / "skills").skill_folders]


def test_tickets_sit_on_the_largest_changes_of_a_dense_training_and_stops_change_nothing(tmp_path: Path) -> None:
    for name in ("run", "dense", "stopped"):
        (tmp_path / name).mkdir()
    train_alone(tmp_path / "run", recipe())
    dense_only = [option for option in TINY if "sparse" not in option and "density" not in option]
    train_alone(
        tmp_path / "dense",
        load_config(TrainingRecipe, overrides=[*dense_only, "modules.kind=dense", "training.steps=2"]),
    )
    starts = 0
    while True:
        starts += 1
        try:
            train(recipe().model_dump(mode="json"), Stopped(tmp_path / "stopped"), Alone())
        except Interrupted:
            if starts == 2:  # as if it was killed between the phases
                shutil.rmtree(tmp_path / "stopped" / "checkpoints" / "sparse")
            continue
        break
    assert starts == 4
    sparse, dense, stopped = (skills(tmp_path / name) for name in ("run", "dense", "stopped"))
    for skill, other in zip(sparse, stopped, strict=True):
        assert all(torch.equal(skill[name], other[name]) for name in skill)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "stopped" / "metrics.jsonl").read_bytes()
    lines = [read_metrics(tmp_path / "run", phase) for phase in ("dense", "sparse")]
    assert [len(of_phase) for of_phase in lines] == [2, 2]
    assert lines[0][0]["loss"] == pytest.approx(lines[1][0]["loss"], rel=1e-5)  # fresh skills, and the same first batch
    supports = [
        (tensor.flatten(), trained[name.replace("/support_", "/change.")])  # fresh skills are 0
        for trained, skill in zip(dense, sparse, strict=True) for name, tensor in skill.items() if "/support_" in name
    ]  # fmt: skip
    assert supports
    for support, change in supports:
        k = max(1, round(0.05 * change.numel()))
        assert support.tolist() == keep_largest(change, k).flatten().nonzero().flatten().tolist()


def test_everything_but_the_supports_is_as_before_the_dense_training() -> None:
    inventory = spec(kind="sparse", density=0.1, init=1.0)
    model = tiny_model("tiny-encoder", [SUITE.tasks[name] for name in KNOWN], dense_spec(inventory), moved=False)
    model.heads["tagging:A"] = nn.Linear(4, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    start = [model.inventory.skill(index) for index in range(3)]

    def move(trained: nn.Module) -> None:
        with torch.no_grad():
            for parameter in (*model.router.parameters(), *model.heads.parameters(), *model.inventory.parameters()):
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))

    sparse = rewound(inventory, model, move)
    state = sparse.state_dict()
    same = [name for name in state if name.startswith(("router.", "heads."))]
    assert len(same) > 2 and all(torch.equal(state[name], before[name]) for name in same)
    assert sparse.inventory.kind == "sparse" and sparse.inventory.n_skills == 3
    for index, first in enumerate(start):
        skill, last = sparse.inventory.skill(index), model.inventory.skill(index)
        for name in (name for name in skill if "/support_" in name):
            dense, entries = name.replace("/support_", "/change."), skill[name].flatten()
            assert torch.equal(skill[name.replace("/support_", "/values.")].flatten(), first[dense].flatten()[entries])
            mask = keep_largest(last[dense] - first[dense], len(entries))
            assert torch.equal(mask.flatten().nonzero().flatten(), entries)


def test_a_ticket_that_nothing_reads_or_that_the_training_excludes_is_refused() -> None:
    with pytest.raises(InputError, match=r"lottery tickets are of modules\.kind=sparse"):
        load_config(TrainingRecipe, overrides=["modules.kind=lora", "ticket.steps=3"])
    config = load_config(polytropon.Config, overrides=[*TINY, "ticket.steps=2", "training.backbone_lr=1e-3"])
    with pytest.raises(InputError, match=r"set training\.strategy=ddp and training\.backbone_lr=0"):
        polytropon.check(config)
