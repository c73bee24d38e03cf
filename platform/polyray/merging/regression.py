"""RegMean: linear layers merged so that they do to each part's inputs what the part's own layer does."""

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.merging.linear import total_weight
from polyray.merging.operands import Operands


class RegMeanOptions(Section):
    """The choices of RegMean."""

    off_diagonal: float = Field(0.9, ge=0, le=1)
    """Factor of the inner products of different inputs; below 1 it lets the parts' average in."""


def regmean(operands: Operands, options: RegMeanOptions) -> Tensor:
    """Weights of a linear layer by least squares on the parts' inputs: (sum w_i W_i G_i) (sum w_i G_i)^-1.

    G_i = X_i^T X_i of the layer's inputs in part i, off its diagonal times `off_diagonal` (Jin et al. 2023,
    arXiv:2212.09849, Eq. 2 and section 3.2). It is computed as the parts' average and what differs from it, so that
    inputs that no part has keep the average. Other tensors are averaged.

    Raises:
        InputError: a weight is negative or all are 0, or one part alone has inner products of this tensor.
    """
    if any(part.weight < 0 for part in operands.parts):
        raise InputError("RegMean is an average by inputs: its weights are positive.")
    weights = operands.weights / total_weight(operands)
    average = (weights * operands.tensors).sum(0)
    products = [part.inner_products for part in operands.parts if part.inner_products is not None]
    if not products:
        return average
    if len(products) != len(operands.parts):
        raise InputError("Some parts have inner products of this tensor and some have none.")
    total = average.new_zeros(products[0].shape, dtype=torch.float64)
    target = average.new_zeros(average.shape, dtype=torch.float64)
    for part, product in zip(operands.parts, products, strict=True):
        scaled = product.double()
        weighted = part.weight * (options.off_diagonal * scaled + (1 - options.off_diagonal) * scaled.diag().diag())
        total += weighted
        target += (part.tensor - average).double() @ weighted
    return average + _divided(target, total).to(average.dtype)


def _divided(target: Tensor, products: Tensor) -> Tensor:
    """target [out, in] times the inverse of products [in, in], the pseudo-inverse where there is none."""
    factor, failed = torch.linalg.cholesky_ex(products)
    if int(failed) == 0:
        return torch.cholesky_solve(target.T, factor).T
    inverse: Tensor = torch.linalg.pinv(products, hermitian=True)
    return target @ inverse
