"""A job of milliseconds that writes all that a training and an adaptation write."""

from pathlib import Path
from typing import Any

import torch

from polyray.config import Section
from polyray.files import make_folders
from polyray.runs.allocation import save_allocation
from polyray.runs.job import Result
from polyray.runs.run import Run
from polyray.runs.sealed import write_sealed
from polyray.runs.state import load_state, save_state
from polyray.skills.card import BackboneCard, Card
from polyray.skills.skill import Skill, save_skill


class CountingConfig(Section):
    """Fields of the small job."""

    steps: int = 3
    """Steps."""


def count(config: CountingConfig, run: Run) -> Result:
    """Multiply a tensor a few times; writes all that a training and an adaptation write, in milliseconds."""
    checkpoint = run.restored()
    state: dict[str, Any] = (
        load_state(checkpoint / "state") if checkpoint is not None else {"step": 0, "x": torch.ones(3)}
    )
    while state["step"] < config.steps:
        state = {"step": state["step"] + 1, "x": state["x"] * 1.5}
        run.report(state["step"], {"loss": float(state["x"].sum())})
        run.checkpoint(state["step"], lambda folder: _save(folder, state))  # noqa: B023  # called at once
    _save(run.out, state)
    save_allocation(run.out, torch.ones(1, 2, 1), ["all"], ["a", "b"])
    make_folders(run.out / "adapted")
    write_sealed(run.out / "adapted" / "a.json", {"score": 0.5})
    return Result(metrics={"mean": 0.5}, skills=("skills",))


def _save(folder: Path, state: dict[str, Any]) -> None:
    if folder.name.startswith("."):
        save_state(folder / "state", state)
    backbone = BackboneCard(name="tiny", fingerprint="f" * 64)
    card = Card(name="a", kind="lora", backbone=backbone, sites=("q",), options={"rank": 1})
    save_skill(Skill(card=card, tensors={"q/down.weight": state["x"]}), folder / "skills" / "a")
