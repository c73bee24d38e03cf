"""The policy that reinforcement learning starts from: fresh, trained before, imitating a bot, or a lottery ticket."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from polyray.envs.levels import EXPERT, Level
from polyray.envs.minigrid.bot import Demonstrations, demonstrate
from polyray.envs.missions import VOCABULARY
from polyray.errors import InputError
from polyray.jobs.agent_sections import BabyAIConfig
from polyray.progress import bars
from polyray.rl.policy import Frames, ModularPolicy, build_policy, parameter_groups
from polyray.rl.policy_folder import bare_state, load_policy, save_policy
from polyray.rl.ticket import to_sparse
from polyray.routing import FixedRouter
from polyray.training.optimizers import OptimizerOptions

START, TICKET = "start", "ticket"  # folders of policies in the run folder
DEMONSTRATIONS = 2_000_000_000  # the first seed of a demonstration


def first_policy(config: BabyAIConfig, levels: tuple[Level, ...]) -> ModularPolicy:
    """The policy before anything was learned in this run.

    Raises:
        InputError: `skills` names no policy, the policy has no row for a level and cannot get one, or options do not
            fit.
    """
    names = tuple(level.name for level in levels)
    if config.skills:
        return _with_rows(load_policy(Path(config.skills), VOCABULARY), names, config)
    routing = config.routing
    options = routing.options(dict(routing.allocation) or EXPERT) if routing.kind == "expert" else routing.options({})
    kind = "dense" if needs_ticket(config) else config.modules.kind
    return build_policy(
        config.policy.options(), names, kind, config.modules.options(), routing.kind, options, len(VOCABULARY),
        config.training.seed,
    )  # fmt: skip


def needs_ticket(config: BabyAIConfig) -> bool:
    """Whether a dense training has to find the skills' supports first."""
    return config.modules.kind == "sparse" and config.modules.support == "ticket" and not config.skills


def _with_rows(policy: ModularPolicy, names: tuple[str, ...], config: BabyAIConfig) -> ModularPolicy:
    """`policy` with a row for every level."""
    if config.train == "row" and isinstance(policy.router, FixedRouter):
        raise InputError(
            f"train=row trains rows of a learned routing; the skills in {config.skills} are routed by a fixed table."
        )
    generator = torch.Generator().manual_seed(config.training.seed)
    for name in names:
        if name not in policy.router.tasks.names:
            row = config.routing.allocation.get(name)
            given = None if row is None else _row(row, policy.inventory.n_skills)
            policy.add_level(name, generator, row=given if isinstance(policy.router, FixedRouter) else None)
    return policy


def _row(skills: tuple[int, ...], n_skills: int) -> Tensor:
    row = torch.zeros(max(n_skills, 1 + max(skills)))
    row[list(skills)] = 1
    return row


def rewound(start: Path, trained: ModularPolicy, density: float) -> ModularPolicy:
    """The policy in `start` with sparse skills whose supports are what `trained` changed most (LT-SFT).

    The first, dense training only chooses: backbone, routing and values are those from before it.
    """
    policy = load_policy(start, VOCABULARY)
    skills = range(policy.inventory.n_skills)
    before = [policy.inventory.skill(index) for index in skills]
    for index in skills:
        policy.inventory.load_skill(index, trained.inventory.skill(index))
    return to_sparse(policy, density, before)


def parameters_of(policy: ModularPolicy) -> Mapping[str, int]:
    """How many parameters the network, its skills and the routing have."""
    return {
        "backbone": sum(tensor.numel() for tensor in bare_state(policy.network).values()),
        "skills": sum(parameter.numel() for parameter in policy.inventory.parameters()),
        "routing": sum(parameter.numel() for parameter in policy.router.parameters()),
    }


def imitate(
    config: BabyAIConfig,
    levels: tuple[Level, ...],
    policy: ModularPolicy,
    held_out: NDArray[np.uint64],
    console: Console,
) -> dict[str, Any]:
    """Train `policy` on the bot's demonstrations (behaviour cloning); the loss of each epoch and the bot's failures.

    Actions are predicted from the frames so far of their episode, with a cross-entropy per frame. Start states whose
    fingerprint is in `held_out` are left out.

    Raises:
        InputError: the bot cannot play one of the levels.
    """
    cloning = config.cloning
    speeds = OptimizerOptions(lr=cloning.lr, routing_lr=config.training.routing_lr, backbone_lr=cloning.lr)
    adam = torch.optim.Adam(parameter_groups(policy, speeds), eps=1e-5, fused=True)
    noise = torch.Generator().manual_seed(config.training.seed)
    order = np.random.default_rng(config.training.seed)
    policy.train()
    losses, failures = [], 0
    with bars(console) as display:
        line = display.add_task("demonstrations", total=len(levels), told="")
        episodes: list[_Episode] = []
        for level in levels:
            seeds = range(DEMONSTRATIONS, DEMONSTRATIONS + cloning.episodes)
            found = demonstrate(level.name, seeds, held_out=held_out)
            failures += found.failures
            row = policy.router.tasks.rows([level.name])[0]
            episodes += list(_episodes(found, row))
            display.update(line, advance=1)
        line = display.add_task("imitation", total=cloning.epochs, told="")
        for _ in range(cloning.epochs):
            total, frames = 0.0, 0
            for batch in _batches(episodes, cloning.batch, order):
                loss = _loss(policy, batch, noise)
                adam.zero_grad()
                (loss / batch.mask.sum()).backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), config.training.max_grad_norm)
                adam.step()
                total, frames = total + float(loss.detach()), frames + int(batch.mask.sum())
            losses.append(total / frames)
            display.update(line, advance=1, told=f"loss {losses[-1]:.3f}")
    policy.eval()
    return {"losses": losses, "episodes": len(episodes), "failures": failures}


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
        for place, episode in enumerate(episodes):
            steps = len(episode.action)
            image[place, :steps], action[place, :steps], mask[place, :steps] = episode.image, episode.action, True
        self.image, self.action, self.mask = map(torch.from_numpy, (image, action, mask))
        self.mission = torch.from_numpy(np.stack([episode.mission for episode in episodes]))
        self.row = torch.tensor([episode.row for episode in episodes])


def _episodes(found: Demonstrations, row: int) -> Iterator[_Episode]:
    bounds = [*np.flatnonzero(found.fresh).tolist(), len(found.action)]
    for first, last in pairwise(bounds):
        yield _Episode(found.image[first:last], found.mission[first], found.action[first:last], row)


def _batches(episodes: list[_Episode], size: int, order: np.random.Generator) -> Iterator[_Batch]:
    shuffled = [episodes[place] for place in order.permutation(len(episodes))]
    for start in range(0, len(shuffled), size):
        yield _Batch(shuffled[start : start + size])


def _loss(policy: ModularPolicy, batch: _Batch, noise: torch.Generator) -> Tensor:
    """Sum over the frames of the batch."""
    n, steps = batch.action.shape
    fresh = torch.zeros(n, steps, dtype=torch.bool)
    fresh[:, 0] = True
    empty = torch.zeros(n, policy.form.options.memory)
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


def save(policy: ModularPolicy, folder: Path, seed: int, metrics: Mapping[str, Any] | None = None) -> None:
    """Write `policy` with the words that missions are made of."""
    save_policy(folder, policy, VOCABULARY, seed, metrics)
