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

from polyray.backbones import Backbone, load_backbone
from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.config import load_config
from polyray.errors import InputError
from polyray.fisher import fisher_plainly
from polyray.jobs.table import JOBS
from polyray.modules.changes import SparseChange
from polyray.modules.site import mixing
from polyray.runs.folder import RunFolder
from polyray.skills.card import BackboneCard, Card
from polyray.skills.skill import Skill, load_skill, save_skill
from polyray.skills.sparse_delta import SparseDelta, sparse_skill
from polyray.tasks import load_suite
from polyray.training.data import encoded, examples_fingerprint, partition_tasks
from polyray.training.fisher.pieces import CARD, FISHER, PIECES, TENSORS, FisherPiece, add_up, sum_piece
from polyray.training.fisher.recipe import FisherRecipe, chosen_examples
from polyray.training.fisher.sums import subtract
from polyray.training.model import bare

FEW = ["tasks.planted.train_examples=2", "tasks.planted.tasks_per_subset=1", "tasks.planted.test_examples=2"]
SMALL = ["n=3", "pieces=2", "batch=2", 'include=["*layers.0*"]', *FEW]


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


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """The same up to the rounding of sums in another order."""
    assert first.keys() == second.keys()
    overall = max(float(x.max()) for x in second.values())
    for name, tensor in first.items():
        torch.testing.assert_close(tensor / overall, second[name] / overall, rtol=1e-3, atol=1e-6, msg=name)


def test_the_released_scale_is_the_square_of_batches_over_all_positions(tmp_path: Path) -> None:
    """Two batches in one piece and in two: the same examples stay together, and the card says what was done."""
    choices = ["scale=reference", "labels=sampled"]
    whole = fisher(tmp_path / "one", *choices, "pieces=1")
    assert_equal(fisher(tmp_path / "two", *choices), whole)
    assert json.loads((tmp_path / "one" / FISHER / CARD).read_text())["recipe"]["scale"] == "reference"


def skills_on(backbone: Backbone, folder: Path) -> tuple[Path, Path]:
    """A LoRA and a sparse delta on the first layer, drawn."""
    card = BackboneCard(name=backbone.name, fingerprint=backbone.fingerprint)
    generator = torch.Generator().manual_seed(0)
    name = "model.encoder.layers.0.fc2"
    weight = backbone.network.get_parameter(f"{name}.weight")
    tensors = {
        f"{name}/down.weight": torch.randn(1, 2, weight.shape[1], generator=generator),
        f"{name}/up.weight": torch.randn(1, 2, weight.shape[0], generator=generator),
    }
    lora = Card(
        name="lora", kind="lora", backbone=card, sites=(name,), options={"rank": 2, "alpha": 0.1, "n_splits": 1}
    )
    save_skill(Skill(card=lora, tensors=tensors), folder / "lora")
    support = torch.arange(0, weight.numel(), 7)
    change = SparseChange(values=torch.full((len(support),), 0.01), support=support, shape=tuple(weight.shape))
    delta = SparseDelta(changes={f"{name}.weight": change})
    save_skill(sparse_skill(delta, name="sparse", backbone=card), folder / "sparse")
    return folder / "lora", folder / "sparse"


def test_the_numbers_of_skills_and_task_vectors_have_fisher_information(tmp_path: Path) -> None:
    backbone = load_backbone("tiny-seq2seq")
    lora, sparse = skills_on(backbone, tmp_path)
    (name,) = load_skill(sparse).card.sites
    of_network = fisher(tmp_path / "whole", f"base=[{sparse}]", "labels=sampled")
    of_entries = fisher(tmp_path / "entries", f"skill={sparse}", "labels=sampled")
    expected = of_network[f"{name}.weight"].view(-1)[::7]
    assert_equal(of_entries, {f"{name}.weight/values": expected})
    of_lora = fisher(tmp_path / "numbers", f"skill={lora}")
    assert of_lora.keys() == load_skill(lora).tensors.keys()
    assert all(x.shape == load_skill(lora).tensors[key].shape and float(x.sum()) > 0 for key, x in of_lora.items())
    card = json.loads((tmp_path / "numbers" / FISHER / CARD).read_text())
    assert card["skill"]["name"] == "lora" and card["skill"]["path"] == "../../lora"

    vector = [f"base=[{sparse}]", 'include=["*shared*", "*fc2*"]']
    at = fisher(tmp_path / "at", "at=task_vector", *vector)
    negated = fisher(tmp_path / "neg", "at=negated_task_vector", *vector)
    assert (
        float(at["model.shared.weight"].sum()) == 0 and negated.keys() == at.keys()
    )  # all else is 0 at the task vector


def test_parameters_become_a_task_vector() -> None:
    backbone, start = load_backbone("tiny-causal"), load_backbone("tiny-causal")
    with torch.no_grad():
        for parameter in backbone.network.parameters():
            parameter.add_(0.5)
    subtract(backbone, start, -1.0)
    for parameter in backbone.network.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, -0.5))
    with pytest.raises(InputError, match="their parameters differ"):
        subtract(backbone, load_backbone("tiny-seq2seq"), 1.0)


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

    monkeypatch.setattr("polyray.training.fisher.pieces.load_backbone", failing)
    with pytest.raises(InputError, match="no more"):
        fisher(tmp_path / "stopped")
    assert len(list((tmp_path / "stopped" / PIECES).glob("0*"))) == 1
    resumed = fisher(tmp_path / "stopped")
    assert len(loads) == 3
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[name], whole[name]) for name in whole)

    recipe = load_config(FisherRecipe, overrides=SMALL)  # as more workers would, the last piece done first
    monkeypatch.setattr("polyray.training.fisher.pieces.load_backbone", load_backbone)
    out = tmp_path / "turned"
    pieces = [FisherPiece(recipe=recipe, index=index, out=out) for index in range(recipe.pieces)]
    n_examples = sum(sum_piece(piece)["n_examples"] for piece in reversed(pieces))
    add_up(recipe, out, {"n_examples": n_examples, "n_squares": n_examples}, load_suite(recipe.tasks), {})
    turned = load_file(out / FISHER / TENSORS)
    assert all(torch.equal(turned[name], whole[name]) for name in whole)


def test_what_cannot_be_summed_is_said_before_anything_starts(tmp_path: Path) -> None:
    mistakes = {
        "n=100000": "examples in all",
        "n=1": "pieces=2: there are 1 examples",
        "base=[nowhere]": "nowhere holds no skill",
        "skill=nowhere": "nowhere holds no skill",
        "scale=reference": "set labels=sampled",
        "start=tiny-causal": "set at=task_vector",
        "at=task_vector": "needs start",
        "labels=sampled scale=reference backbone=tiny-encoder": "needs a network that writes",
        "labels=sampled scale=reference": "pieces=2: there are 1 batches of 4 examples",
    }
    for override, message in mistakes.items():
        with pytest.raises(InputError, match=message):
            fisher(tmp_path / "run", *override.split(), "batch=4")
        assert not (tmp_path / "run").exists()
