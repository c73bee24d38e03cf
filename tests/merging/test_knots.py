"""KnOTS: by its steps in float64, and of LoRA products the same as of the matrices that they make."""

import json
from pathlib import Path

import torch
from skill_cases import LAYER, backbone_in, save_lora

from polyray.config import load_config
from polyray.jobs.merge import Config, run
from polyray.merging import Operands, Part
from polyray.merging.knots import KnotsOptions, knots, knots_of_products
from polyray.runs.run import Run
from polyray.skills.delta import delta
from polyray.skills.lora_sums import LowRank
from polyray.skills.skill import load_skill


def drawn(ranks: tuple[int, ...], seed: int = 0) -> list[LowRank]:
    generator = torch.Generator().manual_seed(seed)
    return [
        LowRank(down=torch.randn(rank, 7, generator=generator), up=torch.randn(rank, 5, generator=generator))
        for rank in ranks
    ]


def as_operands(products: list[LowRank], weights: list[float], densities: list[float]) -> Operands:
    base = torch.zeros(5, 7, dtype=torch.float64)
    parts = [
        Part(tensor=(product.up.T @ product.down).double(), weight=weight, density=density)
        for product, weight, density in zip(products, weights, densities, strict=True)
    ]
    return Operands(parts=parts, base=Part(tensor=base))


def test_one_task_vector_stays_what_it_is() -> None:
    (product,) = drawn((2,))
    change = knots(as_operands([product], [1.0], [1.0]), KnotsOptions())
    torch.testing.assert_close(change, (product.up.T @ product.down).double(), rtol=1e-5, atol=1e-6)


def test_two_equal_task_vectors_give_that_one() -> None:
    (product,) = drawn((2,))
    change = knots(as_operands([product, product], [1.0, 1.0], [1.0, 1.0]), KnotsOptions(scale=2.0))
    torch.testing.assert_close(change, 2 * (product.up.T @ product.down).double(), rtol=1e-5, atol=1e-6)


def test_it_merges_what_the_shared_singular_vectors_are_multiplied_with() -> None:
    """Worked step by step: signs by sum, the mean of those that agree, in the space of the joint decomposition."""
    products = drawn((1, 2))
    operands = as_operands(products, [1.0, 1.0], [1.0, 1.0])
    joined = torch.cat([part.tensor for part in operands.parts], 1)
    left, values, right = torch.linalg.svd(joined, full_matrices=False)
    first, second = right[:3].split(7, 1)
    merged = torch.zeros_like(first)
    for row in range(3):
        for column in range(7):
            a, b = float(first[row, column]), float(second[row, column])
            agreeing = [x for x in (a, b) if x * (a + b) > 0]
            merged[row, column] = sum(agreeing) / len(agreeing)
    expected = left[:, :3] @ torch.diag(values[:3]) @ merged
    torch.testing.assert_close(knots(operands, KnotsOptions()), expected, rtol=1e-4, atol=1e-5)


def test_products_give_the_same_as_the_matrices_that_they_make() -> None:
    for weights, densities in (([1.0, 1.0], [1.0, 1.0]), ([0.5, 2.0], [0.6, 0.4])):
        products = drawn((2, 1), seed=3)
        merged = knots_of_products(list(zip(products, weights, densities, strict=True)), KnotsOptions(scale=0.7))
        expected = knots(as_operands(products, weights, densities), KnotsOptions(scale=0.7))
        torch.testing.assert_close((merged.up.T @ merged.down).double(), expected, rtol=1e-4, atol=1e-5)
        assert merged.rank <= 3


def test_lora_skills_are_merged_into_one_as_their_models_are(tmp_path: Path) -> None:
    backbone = backbone_in(tmp_path / "base")
    folders = [save_lora(tmp_path / name, backbone, seed=seed) for seed, name in enumerate(("a", "b"))]
    parts = json.dumps([{"model": str(folder), "density": 0.5} for folder in folders])
    run(load_config(Config, None, ["merge.kind=knots", "into=skill", f"parts={parts}"]), Run(tmp_path / "out"))
    skill = load_skill(tmp_path / "out" / "skills" / "merged")
    assert skill.card.options["rank"] <= 4
    changes = [delta(load_skill(folder), backbone.network)[f"{LAYER}.weight"].dense() for folder in folders]
    base = Part(tensor=torch.zeros_like(changes[0]))
    expected = knots(Operands(parts=[Part(tensor=x, density=0.5) for x in changes], base=base), KnotsOptions())
    change = delta(skill, backbone.network)[f"{LAYER}.weight"].dense()
    torch.testing.assert_close(change, expected, rtol=1e-3, atol=1e-4)
