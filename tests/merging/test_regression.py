"""RegMean: by hand, against least squares in float64, and from inputs that a pass over examples saw."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from crash_scenarios import a_plain_report
from rich.console import Console
from safetensors.torch import load_file
from torch import nn

from polyray.backbones import load_backbone
from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.config import load_config
from polyray.errors import InputError
from polyray.fisher import InnerProducts
from polyray.jobs.table import JOBS
from polyray.merging import Operands, Part
from polyray.merging.regression import RegMeanOptions, regmean
from polyray.modules.site import mixing
from polyray.runs.folder import RunFolder
from polyray.tasks import load_suite
from polyray.training.data import encoded
from polyray.training.fisher.pieces import FISHER, TENSORS
from polyray.training.fisher.recipe import FisherRecipe, chosen_examples
from polyray.training.model import bare

EXACT = RegMeanOptions(off_diagonal=1.0)


def test_inputs_of_one_part_alone_keep_its_weights_worked_by_hand() -> None:
    first = Part(tensor=torch.tensor([[1.0, 5.0]]), inner_products=torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    second = Part(tensor=torch.tensor([[3.0, 7.0]]), inner_products=torch.tensor([[6.0, 0.0], [0.0, 0.0]]))
    # input 1: (2 * 1 + 6 * 3) / 8; input 2, which nobody has: the average
    torch.testing.assert_close(regmean(Operands(parts=[first, second]), EXACT), torch.tensor([[2.5, 6.0]]))
    vectors = [Part(tensor=torch.tensor([1.0, 2.0])), Part(tensor=torch.tensor([3.0, 4.0]), weight=3.0)]
    torch.testing.assert_close(regmean(Operands(parts=vectors), EXACT), torch.tensor([2.5, 3.5]))
    with pytest.raises(InputError, match="positive"):
        regmean(Operands(parts=[Part(tensor=torch.ones(2), weight=-1.0)]), EXACT)
    with pytest.raises(InputError, match="some have none"):
        regmean(Operands(parts=[first, Part(tensor=torch.ones(1, 2))]), EXACT)


def test_it_is_the_least_squares_fit_to_the_parts_outputs() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(30, 6, dtype=torch.float64) * scale for scale in (1.0, 2.0)]
    weights = [torch.randn(4, 6, dtype=torch.float64) for _ in inputs]
    parts = [Part(tensor=w, inner_products=x.T @ x) for w, x in zip(weights, inputs, strict=True)]
    outputs = torch.cat([x @ w.T for w, x in zip(weights, inputs, strict=True)])
    fitted = torch.linalg.lstsq(torch.cat(inputs), outputs).solution.T
    torch.testing.assert_close(regmean(Operands(parts=parts), EXACT), fitted)
    diagonals = [x.square().sum(0) for x in inputs]
    plain = sum(w * d for w, d in zip(weights, diagonals, strict=True)) / sum(diagonals)
    torch.testing.assert_close(regmean(Operands(parts=parts), RegMeanOptions(off_diagonal=0.0)), plain)


def test_inner_products_are_those_of_the_layers_inputs() -> None:
    torch.manual_seed(0)
    network, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(2, 5, 3)
    products = InnerProducts(network)
    for example in x:
        products.add(partial(network, example.unsqueeze(0)), 1)
    hidden = network[:2](x).detach().flatten(0, 1)
    torch.testing.assert_close(products.sums["0.weight"], x.flatten(0, 1).T @ x.flatten(0, 1))
    torch.testing.assert_close(products.sums["2.weight"], hidden.T @ hidden)
    assert products.n_squares == 2 and not network[0]._forward_pre_hooks
    with pytest.raises(InputError, match="no linear layer"):
        InnerProducts(network, lambda name: False)


def test_the_job_sums_inner_products_without_padding(tmp_path: Path) -> None:
    few = ["tasks.planted.train_examples=2", "tasks.planted.tasks_per_subset=1", "tasks.planted.test_examples=2"]
    overrides = ["statistic=inner_products", "n=3", "pieces=2", 'include=["*layers.0*"]', *few]
    config = load_config(JOBS["fisher"].Config, overrides=overrides)
    folder = RunFolder(path=tmp_path, job="fisher", config=config, address=None)
    with a_plain_report():
        run_in(folder, JOBS["fisher"], Console(quiet=True), cluster=OwnProcess())
    products = load_file(tmp_path / FISHER / TENSORS)
    recipe = load_config(FisherRecipe, overrides=overrides)
    suite, backbone = load_suite(recipe.tasks), load_backbone(recipe.backbone)
    data = encoded(backbone, suite, chosen_examples(recipe, suite), recipe.text)
    model = bare(backbone, list(suite.tasks)).eval()
    name = "model.encoder.layers.0.fc1"
    total = torch.zeros_like(products[f"{name}.weight"])
    for row in data.rows:
        seen: list[torch.Tensor] = []
        handle = backbone.network.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, seen=seen: seen.append(inputs[0][0].detach())
        )
        batch = data.objective.collate(backbone, [row])
        with mixing(model.inventory, model.router(batch.tasks)), torch.no_grad():
            data.objective.loss(model, batch)
        handle.remove()
        total += seen[0].T @ seen[0] / 3
    torch.testing.assert_close(products[f"{name}.weight"], total, rtol=1e-4, atol=1e-4)
    assert json.loads((tmp_path / FISHER / "fisher.json").read_text())["recipe"]["statistic"] == "inner_products"
