"""Selection by processes that each have some of the tensors: they add their counts over torch.distributed."""

import torch
from torch import Tensor, distributed

from polyray.sparsity.largest import Exchange


def group_exchange(device: torch.device | None = None) -> Exchange:
    """Communication of the processes of torch.distributed's group, in which each calls `largest` or `select` at once.

    Of each pass 512 KiB of counts are sent. Entries of lower ranks come first where entries are tied.

    Args:
        device: of tensors that are sent; None: the CPU, as gloo wants it.
    """

    def add(counts: Tensor) -> Tensor:
        total = counts.to(device or "cpu", copy=True)
        distributed.all_reduce(total)
        return total.cpu()

    def before(number: int) -> int:
        numbers = torch.zeros(distributed.get_world_size(), dtype=torch.int64, device=device or "cpu")
        numbers[distributed.get_rank()] = number
        distributed.all_reduce(numbers)
        return int(numbers[: distributed.get_rank()].sum())

    return Exchange(add=add, before=before)
