"""State of each member of a group that trains: its generators and its share of the loss."""

import logging
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from polyray.training.loop import Training
from polyray.training.worker import Worker

log = logging.getLogger(__name__)


def member_state(training: Training, worker: Worker) -> dict[str, Any]:
    """The state of this member, for a checkpoint that has those of all, by rank."""
    state = {"lost": training.lost, "noise": training.noise.get_state(), "torch": torch.get_rng_state()}
    if worker.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_member(training: Training, worker: Worker, members: Sequence[Mapping[str, Any]]) -> None:
    """Restore this member's state out of those of all; a group of another size draws its noise anew."""
    rank, world = worker.rank, worker.world
    if len(members) == world:
        training.lost = members[rank]["lost"]
        training.noise.set_state(members[rank]["noise"])
        torch.set_rng_state(members[rank]["torch"])
        if "cuda" in members[rank]:
            torch.cuda.set_rng_state(members[rank]["cuda"])
        return
    training.lost = statistics.fmean(member["lost"] for member in members)
    seed = random.Random(f"{training.noise.initial_seed()}-{training.step}-{rank}-{world}")
    training.noise.manual_seed(seed.getrandbits(63))
    torch.manual_seed(seed.getrandbits(63))
    if rank == 0:
        log.warning(
            "The checkpoint after step %d is of %d workers, this group has %d: it goes on with the same data in "
            "the same order, no longer byte for byte.",
            training.step, len(members), world,
        )  # fmt: skip
