"""Imitation of minigrid's bot (behaviour cloning), as a warm start of reinforcement learning."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from rich.progress import Progress
from torch import Tensor

from polyray.config import Section
from polyray.envs.levels import Level
from polyray.envs.minigrid.bot import Demonstrations, demonstrate
from polyray.errors import Interrupted
from polyray.progress import bars
from polyray.rl.policy import Frames, ModularPolicy, parameter_groups
from polyray.rl.settings import ADAM_EPS, AgentTrainingOptions
from polyray.runs.run import Run

FIRST_SEED = 2_000_000_000  # of demonstrations


class CloningOptions(Section):
    """A warm start: imitation of minigrid's bot before reinforcement learning."""

    episodes: int = Field(0, ge=0)
    """Demonstrations of each level; 0: no imitation."""
    epochs: int = Field(5, ge=1)
    """Passes over them."""
    batch: int = Field(64, ge=1)
    """Demonstrations of an update."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate of skills and backbone."""


@dataclass(frozen=True, kw_only=True)
class _Rates:
    lr: float
    routing_lr: float
    backbone_lr: float


def imitate(
    policy: ModularPolicy,
    levels: tuple[Level, ...],
    options: CloningOptions,
    training: AgentTrainingOptions,
    run: Run,
) -> dict[str, Any]:
    """Train `policy` on the bot's demonstrations; returns the loss of each epoch and the number of the bot's failures.

    Actions are predicted from the frames so far of their episode, with a cross-entropy per frame. Start states
    that are held out for evaluation are left out.

    Raises:
        InputError: the bot cannot play one of the levels.
        Interrupted: the user asked `run` to stop.
    """
    rates = _Rates(lr=options.lr, routing_lr=training.routing_lr, backbone_lr=options.lr)
    adam = torch.optim.Adam(parameter_groups(policy, rates), eps=ADAM_EPS, fused=True)
    noise = torch.Generator().manual_seed(training.seed)
    order = np.random.default_rng(training.seed)
    policy.train()
    losses = []
    with bars(run.console) as display:
        episodes, failures = _demonstrated(policy, levels, options.episodes, run, display)
        line = display.add_task("imitation", total=options.epochs, note="")
        for _ in range(options.epochs):
            total, frames = 0.0, 0
            for batch in _batches(episodes, options.batch, order):
                _stop_if_asked(run)
                loss = _loss(policy, batch, noise)
                adam.zero_grad()
                (loss / batch.mask.sum()).backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), training.max_grad_norm)
                adam.step()
                total, frames = total + float(loss.detach()), frames + int(batch.mask.sum())
            losses.append(total / frames)
            display.update(line, advance=1, note=f"loss {losses[-1]:.3f}")
    policy.eval()
    return {"losses": losses, "episodes": len(episodes), "failures": failures}


def _demonstrated(
    policy: ModularPolicy, levels: tuple[Level, ...], n: int, run: Run, display: Progress
) -> tuple[list["_Episode"], int]:
    """The bot's solutions of n episodes of each level, and how many it did not solve."""
    line = display.add_task("demonstrations", total=len(levels), note="")
    episodes, failures = list[_Episode](), 0
    for level in levels:
        _stop_if_asked(run)
        demonstrations = demonstrate(level.name, count(FIRST_SEED), skip_held_out=True, episodes=n)
        failures += demonstrations.failures
        episodes += list(_episodes(demonstrations, policy.router.tasks.rows([level.name])[0]))
        display.update(line, advance=1)
    return episodes, failures


def _stop_if_asked(run: Run) -> None:
    if run.stop_requested:
        raise Interrupted("Stopped in the imitation, as asked, which begins again when the run is resumed.")


class _Episode:
    """One demonstration: images [T, 7, 7, 3], the mission [L], actions [T], and the row of its level."""

    def __init__(
        self, image: NDArray[np.uint8], mission: NDArray[np.uint8], action: NDArray[np.int64], row: int
    ) -> None:
        self.image, self.mission, self.action, self.row = image, mission, action, row


class _Batch:
    """Demonstrations padded to one length, sorted by level."""

    def __init__(self, episodes: list[_Episode]) -> None:
        episodes = sorted(episodes, key=lambda episode: episode.row)
        n, longest = len(episodes), max(len(episode.action) for episode in episodes)
        image = np.zeros((n, longest, *episodes[0].image.shape[1:]), np.uint8)
        action, mask = np.zeros((n, longest), np.int64), np.zeros((n, longest), np.bool_)
        for row, episode in enumerate(episodes):
            steps = len(episode.action)
            image[row, :steps], action[row, :steps], mask[row, :steps] = episode.image, episode.action, True
        self.image, self.action, self.mask = map(torch.from_numpy, (image, action, mask))
        self.mission = torch.from_numpy(np.stack([episode.mission for episode in episodes]))
        self.row = torch.tensor([episode.row for episode in episodes])


def _episodes(demonstrations: Demonstrations, row: int) -> Iterator[_Episode]:
    image, mission, action = demonstrations.image, demonstrations.mission, demonstrations.action
    for first, last in pairwise([*np.flatnonzero(demonstrations.fresh).tolist(), len(action)]):
        yield _Episode(image[first:last], mission[first], action[first:last], row)


def _batches(episodes: list[_Episode], size: int, order: np.random.Generator) -> Iterator[_Batch]:
    shuffled = [episodes[index] for index in order.permutation(len(episodes))]
    for start in range(0, len(shuffled), size):
        yield _Batch(shuffled[start : start + size])


def _loss(policy: ModularPolicy, batch: _Batch, noise: torch.Generator) -> Tensor:
    """Sum over the frames of the batch."""
    n, steps = batch.action.shape
    fresh = torch.zeros(n, steps, dtype=torch.bool)
    fresh[:, 0] = True
    empty = torch.zeros(n, policy.options.memory)
    outputs = policy(
        Frames(
            image=batch.image, mission=batch.mission[:, None].expand(-1, steps, -1).contiguous(), fresh=fresh,
            task=batch.row, memory=(empty, empty),
        ),
        noise,
    )  # fmt: skip
    logs = outputs.logits.log_softmax(-1).gather(-1, batch.action[..., None])[..., 0]
    loss: Tensor = -(logs * batch.mask).sum()
    return loss
