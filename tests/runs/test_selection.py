"""The state of a training that ends in its skills."""

import json
from pathlib import Path

import torch
from torch import nn

from polyray.runs.selection import Selection
from polyray.runs.state import load_state, save_state


def model_at(value: float) -> nn.Sequential:
    """A frozen layer, one that is trained, and statistics; all at `value`."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].requires_grad_(False)
    set_to(model, value)
    return model


def set_to(model: nn.Module, value: float) -> None:
    for tensor in model.state_dict().values():
        tensor.fill_(value)


def values(model: nn.Sequential) -> list[set[float]]:
    """All values in each layer."""
    return [{x for tensor in layer.state_dict().values() for x in tensor.flatten().tolist()} for layer in model]


def test_the_best_state_is_the_highest_the_earliest_of_equals_and_survives_a_resume(tmp_path: Path) -> None:
    model, best, last = model_at(0.0), Selection("best"), Selection("last")
    assert best.figures == {}
    best.install(model)
    assert values(model) == [{0.0}] * 3, "nothing was validated"
    for step, score in enumerate((0.25, 0.5, 0.5, 0.0), start=1):
        set_to(model, step)
        for selection in (best, last):
            selection.consider(step, {"score": score, "loss": step / 8, "tasks": {}}, model)
        save_state(tmp_path / "state", best.state())
        best = Selection("best")
        best.restore(load_state(tmp_path / "state"))
    assert best.figures == {"score": 0.5, "loss": 0.25, "step": 2}
    assert last.figures == {"score": 0.0, "loss": 0.5, "step": 4} and last.state()["tensors"] == {}
    last.install(model)
    assert values(model) == [{4.0}] * 3
    best.install(model)
    assert values(model) == [{4.0}, {2.0}, {2.0}], "the frozen layer is left alone"
    json.dumps(best.figures)


def test_a_chosen_state_is_a_copy(tmp_path: Path) -> None:
    model, best = model_at(1.0), Selection("best")
    best.consider(1, {"score": 0.5}, model)
    with torch.no_grad():
        set_to(model, 2.0)
    best.install(model)
    assert values(model)[1:] == [{1.0}, {1.0}] and best.figures == {"score": 0.5, "step": 1}
