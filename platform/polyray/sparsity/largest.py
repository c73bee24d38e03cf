"""The exactly K entries furthest from an origin, by a radix search over the bits of their distances.

Nothing is sorted and nothing flat is copied. The distances' upper 16 bits are counted, then the next 16 bits of those
that share the upper bits of the K-th largest, and so on until all bits of that one are known (two passes for fp32).
Workers that each have some of the tensors add their counts, 512 KiB a pass, and select as one process would.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from polyray.sparsity.distances import INTEGERS, Distances

DIGIT = 16  # bits that a pass looks at
BINS = 1 << DIGIT
LARGEST_INT32 = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True)
class Cutoff:
    """Key at which a selection ends.

    Entries with larger keys are selected, n_larger on all workers together, and this worker's first n_ties of those
    with this key.
    """

    key: int
    n_larger: int
    n_ties: int


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Communication of workers that select together.

    add: the sum of a tensor over all workers. before: the sum of a number over the workers of lower rank, whose entries
    come first where entries are tied. By default there is one worker.
    """

    add: Callable[[Tensor], Tensor] = torch.clone
    before: Callable[[int], int] = lambda number: 0


ALONE = Exchange()


def largest(distances: Distances, k: int, exchange: Exchange = ALONE) -> dict[str, Tensor]:
    """Ascending flat indices of the k entries furthest from the origin, by tensor; ties go to the first entry.

    Indices are int32, or int64 in tensors of more than 2^31 - 1 entries. `largest_plainly` is the same in ten lines.

    Args:
        k: entries of all workers together.

    Raises:
        ValueError: k is negative or more than there are entries, or an entry is NaN.
    """
    return entries(distances, find_cutoff(distances, k, exchange))


def histogram(distances: Distances, prefix: int = 0, level: int = 0) -> Tensor:
    """Counts [65536] of the values of the 16 bits at `level` among keys with the bits `prefix` above them.

    level: 0 for the uppermost bits, above which there are none.

    Raises:
        ValueError: an entry is NaN.
    """
    shift = DIGIT * (_n_levels(distances) - 1 - level)
    infinity = int(torch.tensor(torch.inf, dtype=distances.dtype).view(INTEGERS[distances.dtype]))
    counts = torch.zeros(BINS, dtype=torch.int64)
    for name in distances.tensors:
        for _, keys in distances.blocks(name):
            chosen = keys if level == 0 else keys[keys >> (shift + DIGIT) == prefix]
            of_block = torch.bincount((chosen >> shift) & (BINS - 1), minlength=BINS).cpu()
            if level == 0 and bool(of_block[infinity >> shift :].any()) and bool((keys > infinity).any()):
                raise ValueError(f"{name} holds NaN, which is neither near to its origin nor far from it.")
            counts += of_block
    return counts


def find_cutoff(distances: Distances, k: int, exchange: Exchange = ALONE) -> Cutoff:
    """The key at which the selection of the k largest ends.

    Raises:
        ValueError: k is negative or more than there are entries, or an entry is NaN.
    """
    counts = histogram(distances)
    total = exchange.add(counts)
    n_entries = int(total.sum())
    if not 0 <= k <= n_entries:
        raise ValueError(f"The number of entries to select must lie between 0 and the {n_entries} entries, found {k}.")
    if k == 0:
        return Cutoff(key=torch.iinfo(INTEGERS[distances.dtype]).max, n_larger=0, n_ties=0)
    digit, missing = _descend(total, k)
    key = digit
    for level in range(1, _n_levels(distances)):
        counts = histogram(distances, key, level)
        digit, missing = _descend(exchange.add(counts), missing)
        key = key << DIGIT | digit
    n_tied = int(counts[digit])  # on this worker
    n_ties = min(max(missing - exchange.before(n_tied), 0), n_tied)
    return Cutoff(key=key, n_larger=k - missing, n_ties=n_ties)


def _descend(counts: Tensor, k: int) -> tuple[int, int]:
    """The bin of the k-th largest, and how many of that bin are among the k largest."""
    from_top = counts.flip(0).cumsum(0)
    index = int((from_top < k).sum())
    digit = len(counts) - 1 - index
    return digit, k - int(from_top[index] - counts[digit])


def entries(distances: Distances, cutoff: Cutoff) -> dict[str, Tensor]:
    """Ascending flat indices of the entries that `cutoff` selects, by tensor."""
    selected, n_ties = {}, cutoff.n_ties
    for name, tensor in distances.tensors.items():
        indices = [torch.empty(0, dtype=index_type(tensor.numel()), device=tensor.device)]
        for start, keys in distances.blocks(name):
            chosen = (keys >= cutoff.key).nonzero().flatten()
            tied = keys[chosen] == cutoff.key
            n_tied = int(tied.sum())
            if n_tied > n_ties:
                chosen = chosen[~tied | (tied.cumsum(0) <= n_ties)]
            n_ties -= min(n_tied, n_ties)
            indices.append((chosen + start).to(indices[0].dtype))
        selected[name] = torch.cat(indices)
    return selected


def index_type(n_entries: int) -> torch.dtype:
    """Smallest type of an index into a flattened tensor."""
    return torch.int32 if n_entries <= LARGEST_INT32 else torch.int64


def _n_levels(distances: Distances) -> int:
    return torch.finfo(distances.dtype).bits // DIGIT
