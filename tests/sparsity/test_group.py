"""Processes that each have some rows of every tensor select over torch.distributed what one process selects."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from fork_cases import in_child
from torch import Tensor

from polyray.sparsity import BudgetOptions, Distances, budgets, largest_plainly, select
from polyray.sparsity.group import group_exchange

pytestmark = pytest.mark.processes  # two processes that wait for each other
WORLD = 2


def tensors() -> dict[str, Tensor]:
    """Two tensors of many equal entries, and one that changed nowhere."""
    generator = torch.Generator().manual_seed(0)
    drawn = {name: torch.randint(-3, 4, (6, 9), generator=generator).float() for name in "ab"}
    return {**drawn, "c": torch.zeros(2, 3)}


def shard(rank: int) -> dict[str, Tensor]:
    """The rows of each tensor that a process has."""
    return {name: tensor.chunk(WORLD)[rank] for name, tensor in tensors().items()}


def select_as(rank: int, folder: Path, options: BudgetOptions) -> None:
    """Select from own rows, and write the indices into the whole tensors."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    shared = budgets({name: tensor.numel() for name, tensor in tensors().items()}, options)
    chosen = select(Distances(shard(rank)), shared, group_exchange())
    firsts = {name: sum(shard(before)[name].numel() for before in range(rank)) for name in chosen}
    torch.save({name: indices + firsts[name] for name, indices in chosen.items()}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_processes_select_as_one_does(tmp_path: Path) -> None:
    for number, options in enumerate((BudgetOptions(k=40), BudgetOptions(k=30, shares={"a": 0.5}))):
        folder = tmp_path / str(number)
        folder.mkdir()
        children = [in_child(partial(select_as, rank, folder, options)) for rank in range(WORLD)]
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * WORLD
        saved = [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]
        chosen = {name: torch.cat([of_rank[name] for of_rank in saved]).tolist() for name in tensors()}
        assert sum(map(len, chosen.values())) == options.k
        if not options.shares:
            of_both = {
                (name, abs(float(tensors()[name].view(-1)[i]))) for name, indices in chosen.items() for i in indices
            }
            assert min(value for _, value in of_both) >= 2
            for rank in range(WORLD):  # of equal entries the first process's come first
                ordered = {f"{r}{name}": shard(r)[name] for r in range(WORLD) for name in tensors()}
                expected = largest_plainly(Distances(ordered), options.k)
                assert {
                    name: len(expected[f"{rank}{name}"]) for name in tensors()
                } == {name: len(saved[rank][name]) for name in tensors()}  # fmt: skip
        else:
            assert len(chosen["a"]) == 15 and len(chosen["b"]) == 15
