"""KnOTS: task vectors put into one space before they are merged, matrices or LoRA products."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.merging.consensus import TiesOptions, ties
from polyray.merging.operands import Operands, Part
from polyray.skills.lora_sums import LowRank

NEGLIGIBLE = 1e-6  # singular values below this share of the largest are rounding


class KnotsOptions(Section):
    """The choices of KnOTS."""

    scale: float = Field(1.0)
    """Coefficient of the merged task vector."""


def knots(operands: Operands, options: KnotsOptions) -> Tensor:
    """The base and the task vectors merged by TIES in the space that their singular vectors share.

    [tau_1 ... tau_n] = U S [V_1 ... V_n], the matrices side by side; the V_i are merged, and tau = scale U S V (Stoica
    et al. 2025, KnOTS, arXiv:2410.19735). Density and weight of a part are those of V_i. Tensors that are no matrices
    are merged by TIES as they are.
    """
    changes = operands.changes()
    if changes.dim() != 3:
        return operands.start + options.scale * _by_ties(operands, changes)
    width = changes.shape[2]
    left, values, right = torch.linalg.svd(changes.permute(1, 0, 2).flatten(1), full_matrices=False)
    left, values, right = _without_rounding(left, values, right)
    merged = _by_ties(operands, torch.stack(right.split(width, 1)))
    change: Tensor = left @ (values.unsqueeze(1) * merged)
    return operands.start + options.scale * change


def knots_of_products(operands: Sequence[tuple[LowRank, float, float]], options: KnotsOptions) -> LowRank:
    """`knots` of LoRA products as one product, whose rank is that of all together at most.

    The products are not formed: singular vectors come from a matrix between orthogonal bases.

    Args:
        operands: products, each with its weight and density.
    """
    products = [product for product, _, _ in operands]
    basis, triangle = torch.linalg.qr(torch.cat([product.up for product in products]).double().T)  # [out, r], [r, R]
    inner, triangles = zip(*(torch.linalg.qr(product.down.double().T) for product in products), strict=True)
    middle = triangle @ torch.block_diag(*(x.T for x in triangles))  # [r, columns of all bases of inputs]
    left, values, right = _without_rounding(*torch.linalg.svd(middle, full_matrices=False))
    columns = right.split([x.shape[1] for x in inner], 1)
    parts = [
        Part(tensor=column @ x.T, weight=weight, density=density)
        for column, x, (_, weight, density) in zip(columns, inner, operands, strict=True)
    ]
    merged = _by_ties(Operands(parts=parts), torch.stack([part.tensor for part in parts]))
    up = (basis @ left * values).T
    return LowRank(down=merged.float(), up=(options.scale * up).float())


def _without_rounding(left: Tensor, values: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The singular triples that are more than rounding; their directions would be arbitrary."""
    rank = max(int((values > NEGLIGIBLE * values[:1]).sum()), 1)
    return left[:, :rank], values[:rank], right[:rank]


def _by_ties(operands: Operands, tensors: Tensor) -> Tensor:
    """TIES of tensors [n, *shape], with the weights and densities of the operands."""
    parts = [
        Part(tensor=tensor, weight=part.weight, density=part.density)
        for tensor, part in zip(tensors, operands.parts, strict=True)
    ]
    return ties(Operands(parts=parts, base=Part(tensor=torch.zeros_like(tensors[0]))), TiesOptions())
