"""What a module looks like."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ModuleOptions:
    """The choices of every kind of module; a kind reads those that concern it."""

    rank: int = 16  # columns of LoRA's `down`, width of a bottleneck
    alpha: float = 1.0  # a LoRA update is scaled by alpha / rank
    n_splits: int = 1  # heads of multi-head routing (Caccia et al. 2023); LoRA only
    density: float = 0.1  # share of entries that a sparse module may change
    init: float = 0.0  # fresh entries of dense and sparse modules: uniform, at most init / sqrt(fan in); 0: no change
    length: int = 8  # key-value pairs of a prefix
