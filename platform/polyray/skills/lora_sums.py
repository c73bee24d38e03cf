"""Weighted sums of LoRA skills: exact by laying their factors side by side, or compressed to a lower rank."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyray.skills.skill import Skill

DOWN, UP = "/down.", "/up."  # in the names of a LoRA skill's tensors: SITE/down.WEIGHT


@dataclass(frozen=True, eq=False, kw_only=True)
class LowRank:
    """A change of one weight as a product: up^T down, down [rank, in], up [rank, out]."""

    down: Tensor
    up: Tensor

    @property
    def rank(self) -> int:
        """Rows of both factors."""
        return len(self.down)


@dataclass(frozen=True, kw_only=True)
class Compression:
    """Loss by a truncation of singular values: squared lengths of what was there and of what was dropped."""

    total: float = 0.0
    dropped: float = 0.0

    @property
    def error(self) -> float:
        """Length of what was dropped over the length of what was there."""
        return math.sqrt(self.dropped / self.total) if self.total else 0.0

    def __add__(self, other: "Compression") -> "Compression":
        return Compression(total=self.total + other.total, dropped=self.dropped + other.dropped)


def factors(skill: Skill) -> dict[str, LowRank]:
    """The products that a LoRA skill adds to weights, by SITE.WEIGHT; alpha / rank is in `up`.

    The heads of multi-head routing are joined, which does not change the products.
    """
    scale = skill.card.options["alpha"] / skill.card.options["rank"]
    products = {}
    for name, tensor in skill.modules.items():
        if DOWN in name:
            down = tensor.transpose(0, 1).flatten(1).float()  # [rank, in]
            up = skill.tensors[name.replace(DOWN, UP)].transpose(0, 1).flatten(1).float()  # [rank, out]
            products[name.replace(DOWN, ".")] = LowRank(down=down, up=scale * up)
    return products


def concatenate(terms: Sequence[tuple[LowRank, float]]) -> LowRank:
    """The weighted sum of products as one whose rank is the sum of theirs: sum_i w_i up_i^T down_i, exactly."""
    return LowRank(
        down=torch.cat([product.down for product, _ in terms]),
        up=torch.cat([weight * product.up for product, weight in terms]),
    )


def compress(product: LowRank, rank: int) -> tuple[LowRank, Compression]:
    """The nearest product of at most this rank (Eckart & Young 1936), and what it lost.

    The singular values are those of a matrix [rank, rank] between orthogonal bases, so the change itself is not formed.
    """
    basis_out, triangle_out = torch.linalg.qr(product.up.double().T)
    basis_in, triangle_in = torch.linalg.qr(product.down.double().T)
    left, values, right = torch.linalg.svd(triangle_out @ triangle_in.T)
    root = values[:rank].sqrt().unsqueeze(1)
    up = root * (basis_out @ left[:, :rank]).T
    down = root * (right[:rank] @ basis_in.T)
    squares = values.square()
    lost = Compression(total=float(squares.sum()), dropped=float(squares[rank:].sum()))
    return LowRank(down=down.float(), up=up.float()), lost


def tensors_of(products: Mapping[str, LowRank], rank: int) -> dict[str, Tensor]:
    """Tensors of a LoRA skill with alpha = rank and one head; products of a lower rank are filled up with zeros."""
    tensors = {}
    for name, product in products.items():
        site, _, weight = name.rpartition(".")
        for key, factor in ((DOWN, product.down), (UP, product.up)):
            padded = factor.new_zeros(rank, factor.shape[1])
            padded[: len(factor)] = factor
            tensors[f"{site}{key}{weight}"] = padded.unsqueeze(0)
    return tensors
