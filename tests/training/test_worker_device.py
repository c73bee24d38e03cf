"""Everything is on the worker's device before anything is computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_cases import train_alone
from transformers import PreTrainedModel

from polyray.config import load_config
from polyray.skills.inventory import load_inventory
from polyray.training import data, fewshot, multitask
from polyray.training.model import Modular
from polyray.training.pieces import AdaptationRecipe
from polyray.training.recipe import TrainingRecipe
from polyray.training.scoring import ScoringRecipe, Share, score_share


class SeenError(Exception):
    """Ends a training whose device has been seen."""


def device_types(module: nn.Module) -> set[str]:
    return {parameter.device.type for parameter in module.parameters()}


def test_a_training_computes_on_the_device_of_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices: dict[str, set[str]] = {}
    encoded = data.encoded

    def seen(backbone: Any, *more: Any) -> Any:
        devices["encoding"] = device_types(backbone.network)
        return encoded(backbone, *more)

    def stop(model: Modular, *more: Any) -> Any:
        devices["training"] = device_types(model)
        raise SeenError

    monkeypatch.setattr(multitask, "encoded_once", seen)
    monkeypatch.setattr(multitask, "optimizer", stop)
    few = [f"tasks.planted.{name}=20" for name in ("train_examples", "dev_examples", "test_examples")]
    with pytest.raises(SeenError):
        train_alone(tmp_path, load_config(TrainingRecipe, overrides=few), "meta")
    assert devices == {"encoding": {"meta"}, "training": {"meta"}}


@pytest.mark.parametrize("checkpointing", [True, False])
def test_activations_are_computed_again_only_where_that_is_asked_for(
    checkpointing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, bool]] = []

    def stop(*more: Any) -> Any:
        raise SeenError

    monkeypatch.setattr(PreTrainedModel, "activation_checkpointing_enable", lambda _, options: asked.append(options))
    monkeypatch.setattr(multitask, "optimizer", stop)
    few = [f"tasks.planted.{name}=4" for name in ("train_examples", "dev_examples", "test_examples")]
    recipe = load_config(TrainingRecipe, overrides=[*few, f"training.checkpointing={str(checkpointing).lower()}"])
    with pytest.raises(SeenError):
        train_alone(tmp_path, recipe)
    assert asked == [{"use_reentrant": False}] * checkpointing


def test_adaptation_and_scoring_compute_on_a_gpu_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [f"tasks.planted.{name}=4" for name in ("train_examples", "dev_examples", "test_examples")]
    train_alone(tmp_path, load_config(TrainingRecipe, overrides=[*few, "training.steps=1", "modules.rank=1"]))
    moves: list[str] = []

    def to(model: Modular, device: str) -> Modular:
        moves.append(device)
        if device == "cuda":
            raise SeenError
        return model

    monkeypatch.setattr(Modular, "to", to)
    recipe = load_config(ScoringRecipe, overrides=[*few, f"skills={tmp_path / 'skills'}"])
    for is_there, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda is_there=is_there: is_there)
        for move in (lambda: score(recipe, tmp_path), lambda: load(recipe)):
            moves.clear()
            try:
                move()
            except SeenError:
                assert device == "cuda"
            assert moves == [device]


def score(recipe: ScoringRecipe, out: Path) -> dict[str, Any]:
    tasks: Sequence[str] = load_inventory(Path(recipe.skills)).card.tasks[:1]
    return score_share(Share(recipe=recipe, out=out, tasks=tuple(tasks)))


def load(recipe: ScoringRecipe) -> None:
    adaptation = load_config(AdaptationRecipe, overrides=[f"skills={recipe.skills}"])
    fewshot._loaded.__wrapped__(adaptation.model_dump_json(include={"suite", "tasks", "skills"}))
