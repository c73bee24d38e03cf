"""Fisher information of a network on a suite: equal to single examples, however it is cut into pieces and batches."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from crash_scenarios import a_plain_report
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from polyray.backbones import load_backbone
from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.config import load_config
from polyray.errors import InputError
from polyray.fisher import fisher_plainly
from polyray.jobs.table import JOBS
from polyray.modules.site import mixing
from polyray.runs.folder import RunFolder
from polyray.tasks import load_suite
from polyray.training.data import encoded, examples_fingerprint, partition_tasks
from polyray.training.fisher_pass import CARD, FISHER, PIECES, TENSORS, FisherRecipe, chosen_examples
from polyray.training.model import bare

SMALL = ["n=3", "pieces=2", "batch=2", 'include=["*layers.0*"]']


def fisher(out: Path, *overrides: str) -> dict[str, Tensor]:
    """Run the job in this process: the information that it wrote."""
    config = load_config(JOBS["fisher"].Config, overrides=[*SMALL, *overrides])
    folder = RunFolder(path=out, job="fisher", config=config, address=None)
    with a_plain_report():
        run_in(folder, JOBS["fisher"], Console(quiet=True), cluster=OwnProcess())
    return load_file(out / FISHER / TENSORS)


def plainly(recipe: FisherRecipe) -> dict[str, Tensor]:
    """The mean over the examples, each with a batch and a backward pass of its own."""
    suite = load_suite(recipe.tasks)
    backbone = load_backbone(recipe.backbone)
    data = encoded(backbone, suite, chosen_examples(recipe, suite), recipe.text)
    model = bare(backbone, partition_tasks(suite, "train")).eval()

    def loss(row: object) -> Tensor:
        batch = data.objective.collate(backbone, [row])
        with mixing(model.inventory, model.router(batch.tasks)):
            return data.objective.loss(model, batch) * (batch.counts if recipe.scale == "sequence" else 1)

    sums = fisher_plainly(dict(model.network.named_parameters()), [partial(loss, row) for row in data.rows])
    return {name: total / len(data.rows) for name, total in sums.items()}


@pytest.mark.parametrize(("backbone", "scale"), [("tiny-seq2seq", "sequence"), ("tiny-causal", "token")])
def test_the_job_gives_the_mean_of_squared_gradients_of_single_examples(
    backbone: str, scale: str, tmp_path: Path
) -> None:
    choices = [f"backbone={backbone}", f"scale={scale}"]
    information = fisher(tmp_path, *choices, 'include=["*"]')
    recipe = load_config(FisherRecipe, overrides=[*SMALL, *choices])
    expected = plainly(recipe)
    assert information.keys() == expected.keys()
    overall = max(float(x.max()) for x in expected.values())
    for name, tensor in information.items():
        torch.testing.assert_close(tensor / overall, expected[name] / overall, rtol=1e-4, atol=1e-6)
    card = json.loads((tmp_path / FISHER / CARD).read_text())
    assert card["n_examples"] == 3 and card["labels"] == "gold" and card["recipe"]["scale"] == scale
    assert card["examples"] == examples_fingerprint(chosen_examples(recipe, load_suite(recipe.tasks)))
    assert not (tmp_path / PIECES).exists()


def test_only_the_parameters_that_patterns_name_are_summed(tmp_path: Path) -> None:
    information = fisher(tmp_path / "some")
    assert information and all("layers.0" in name for name in information)


def test_pieces_that_are_there_already_are_not_summed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fisher(tmp_path / "whole")
    loads = []

    def failing(name: str) -> object:
        loads.append(name)
        if len(loads) == 2:
            raise InputError("no more")
        return load_backbone(name)

    monkeypatch.setattr("polyray.training.fisher_pass.load_backbone", failing)
    with pytest.raises(InputError, match="no more"):
        fisher(tmp_path / "stopped")
    assert len(list((tmp_path / "stopped" / PIECES).glob("0*"))) == 1
    resumed = fisher(tmp_path / "stopped")
    assert len(loads) == 3
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_what_cannot_be_summed_is_said_before_anything_starts(tmp_path: Path) -> None:
    mistakes = {
        "n=100000": "examples in all",
        "n=1": "pieces=2: there are 1 examples",
        "base=[nowhere]": "nowhere holds no skill",
    }
    for override, message in mistakes.items():
        with pytest.raises(InputError, match=message):
            fisher(tmp_path / "run", override)
        assert not (tmp_path / "run").exists()
