"""Sums of models and of task vectors."""

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from polyray.config import Section
from polyray.errors import InputError
from polyray.merging.operands import Operands

SMALLEST = 1e-8  # sum of weights that something can be divided by


class AverageOptions(Section):
    """The choices of an average."""

    normalize: bool = True
    """Divide by the sum of the weights."""


class TaskVectorOptions(Section):
    """The choices of methods that add task vectors to the base."""

    normalize: bool = False
    """Divide the sum of task vectors by the sum of their weights."""
    scale: float = Field(1.0)
    """Coefficient of the merged task vector (mergekit's `lambda`)."""


class OverlapOptions(Section):
    """The choices of the average of overlapping task vectors."""

    scale: float = Field(1.0)
    """Coefficient of the merged task vector."""


class CapeOptions(Section):
    """The choices of CaPE."""


def average(operands: Operands, options: AverageOptions) -> Tensor:
    """Sum of the parts times their weights, over the sum of the weights: sum_i w_i theta_i / sum_i w_i.

    Wortsman et al. 2022 (model soups, arXiv:2203.05482).

    Raises:
        InputError: the weights add up to 0.
    """
    total = total_weight(operands) if options.normalize else 1.0
    merged = torch.zeros_like(operands.parts[0].tensor)
    for part in operands.parts:
        merged.add_(part.tensor, alpha=part.weight)
    return merged if total == 1 else merged.div_(total)


def task_arithmetic(operands: Operands, options: TaskVectorOptions) -> Tensor:
    """The base and the parts' task vectors times their weights: theta_0 + scale * sum_i w_i (theta_i - theta_0).

    A negative weight negates; the analogy "a is to b as c to ?" is the weights -1, 1, 1 (Ilharco et al. 2023,
    arXiv:2212.04089).

    Raises:
        InputError: there is no base, or normalized weights add up to 0.
    """
    total = total_weight(operands) if options.normalize else 1.0
    start = operands.start
    merged = torch.zeros_like(start)
    change = torch.empty_like(start)
    for part in operands.parts:
        merged.add_(torch.sub(part.tensor, start, out=change), alpha=part.weight)
    return torch.add(start, merged, alpha=options.scale / total, out=merged)


def overlap(operands: Operands, options: OverlapOptions) -> Tensor:
    """The base and at each entry the mean of those task vectors that change it: theta_0 + sum_i w_i d_i / sum_i w_i.

    In the second sum stand the parts with d_i = theta_i - theta_0 other than 0 at that entry. So sparse task vectors,
    which change few entries in common, keep their length (Arnob et al. 2025, sparse adapters, arXiv:2507.07140).

    Raises:
        InputError: there is no base, or the weights of the parts that change an entry add up to 0.
    """
    start = operands.start
    merged, total = torch.zeros_like(start), torch.zeros_like(start)
    changed = torch.zeros_like(start, dtype=torch.bool)
    for part in operands.parts:
        change = part.tensor - start
        merged.add_(change, alpha=part.weight)
        changed |= change != 0
        total.add_(change != 0, alpha=part.weight)
    if bool((total[changed].abs() < SMALLEST).any()):
        raise InputError("The weights of the parts that change an entry add up to 0: change them.")
    return start + options.scale * merged / total.masked_fill_(~changed, 1.0)


def cape(operands: Operands, options: CapeOptions) -> Tensor:
    """Contrastive parameter ensembling: theta_0 + w (theta_expert - theta_anti-expert).

    The expert is the part with the weight w, the anti-expert the one with -w (Choubey et al. 2023, arXiv:2110.07166).

    Raises:
        InputError: there is no base, or the parts are not two with opposite weights.
    """
    weight, expert, anti_expert = experts(operands)
    return operands.start + weight * (expert - anti_expert)


def experts(operands: Operands) -> tuple[float, Tensor, Tensor]:
    """The weight, the expert and the anti-expert of two parts with opposite weights.

    Raises:
        InputError: the parts are others.
    """
    check_opposite([part.weight for part in operands.parts])
    by_weight = {part.weight: part.tensor for part in operands.parts}
    weight = max(by_weight)
    return weight, by_weight[weight], by_weight[-weight]


def total_weight(operands: Operands) -> float:
    """The sum of the parts' weights.

    Raises:
        InputError: it is 0, which nothing can be divided by.
    """
    return _divisor([part.weight for part in operands.parts])


def is_normalized(options: AverageOptions) -> bool:
    """Whether the weights of an average add up to 1, so that it is the base where all parts are."""
    return options.normalize


def average_coefficients(weights: Sequence[float], options: AverageOptions) -> list[float]:
    """w_i / sum w_i, by which the average is the base and its task vectors.

    Raises:
        InputError: the weights add up to 0, or are not to be normalized.
    """
    if not options.normalize:
        raise InputError("A sum of whole models is no sum of task vectors: set normalize to true.")
    total = _divisor(weights)
    return [weight / total for weight in weights]


def task_coefficients(weights: Sequence[float], options: TaskVectorOptions) -> list[float]:
    """scale * w_i, over sum w_i where the weights are normalized.

    Raises:
        InputError: normalized weights add up to 0.
    """
    total = _divisor(weights) if options.normalize else 1.0
    return [options.scale * weight / total for weight in weights]


def cape_coefficients(weights: Sequence[float], options: CapeOptions) -> list[float]:
    """The weights w and -w.

    Raises:
        InputError: they are others.
    """
    check_opposite(weights)
    return list(weights)


def check_opposite(weights: Sequence[float]) -> None:
    """Refuse weights that are not w > 0 and -w.

    Raises:
        InputError: they are not.
    """
    low, *high = sorted(weights)
    if len(high) != 1 or high[0] <= 0 or low != -high[0]:
        raise InputError(
            "CaPE merges two parts, the expert with a weight w > 0 and the anti-expert with -w; "
            f"found the weights {', '.join(map(str, sorted(weights)))}."
        )


def _divisor(weights: Sequence[float]) -> float:
    """The sum of weights.

    Raises:
        InputError: it is 0.
    """
    total = sum(weights)
    if abs(total) < SMALLEST:
        raise InputError("The weights of the parts add up to 0: set normalize to false, or change them.")
    return total
