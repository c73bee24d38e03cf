"""Evaluation of an agent on start states that training has not seen, and films of some episodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from polyray.config import Section
from polyray.envs.engine.engine import Engine
from polyray.envs.engine.state import State, copy_rows
from polyray.envs.levels import Level
from polyray.envs.missions import encode
from polyray.envs.starts.evaluation import evaluation_starts
from polyray.errors import Interrupted
from polyray.progress import bars
from polyray.rl.player import draw
from polyray.rl.policy import ActingPolicy, Frames, ModularPolicy
from polyray.runs.run import FILMS, Run

STATES = 1_000_000_007  # seed of the start states: those of a level are the same in every run
ACTIONS = 1_000_000_007  # added to a run's seed: the seed of the actions that its scored episodes draw


class AgentEvaluationOptions(Section):
    """Evaluation of an agent at the end."""

    episodes: int = Field(512, ge=1)
    """Start states of each level, none of which training has seen."""
    sample: bool = True
    """Draw actions as in training, or take the likeliest, with which an agent without memory may go in circles."""
    videos: int = Field(1, ge=0)
    """Episodes of each level that the report shows."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Results of n episodes: success [n], reward [n], length [n] in steps."""

    success: NDArray[np.bool_]
    reward: NDArray[np.float32]
    length: NDArray[np.int64]


class _ReadyStarts:
    """Start states that are there already, each for the environment of its number."""

    def __init__(self, state: State) -> None:
        self._state = state

    def fill(self, state: State, rows: NDArray[np.int64], tasks: NDArray[np.int64]) -> None:
        copy_rows(self._state, rows, state, rows)


def evaluate(
    policy: ModularPolicy, levels: Sequence[Level], options: AgentEvaluationOptions, seed: int, run: Run
) -> dict[str, dict[str, float]]:
    """Mean success, return and length of episodes from held-out start states, by level; films go to the run's folder.

    Args:
        seed: draws the actions; the start states follow from the level alone, and no training has seen them.
        run: says where films go, and whether the user asks to stop.

    Raises:
        Interrupted: the user asked to stop.
    """
    scores: dict[str, dict[str, float]] = {}
    with bars(run.console) as display:
        bar = display.add_task("evaluation", total=len(levels), note="")
        for level in levels:
            if run.stop_requested:
                raise Interrupted(f"Stopped after {len(scores)} of {len(levels)} levels were scored, as asked.")
            scores[level.name] = score(policy, level, options, seed)
            for number in range(options.videos):
                film(policy, level, number, run.out)
            display.update(bar, advance=1, note=f"{level.name}: {scores[level.name]['success']:.3f}")
    return scores


def score(policy: ModularPolicy, level: Level, options: AgentEvaluationOptions, seed: int) -> dict[str, float]:
    """Mean success, return and length of episodes from the level's held-out start states; the routing draws nothing."""
    states = evaluation_starts([level], options.episodes, STATES)
    generator = torch.Generator().manual_seed(seed + ACTIONS) if options.sample else None
    played = play(policy, level, states, generator)
    return {
        "success": float(played.success.mean()), "return": float(played.reward.mean()),
        "length": float(played.length.mean()),
    }  # fmt: skip


@torch.no_grad()
def play(policy: ModularPolicy, level: Level, states: State, generator: torch.Generator | None) -> Scores:
    """One episode from each of `states`, all start states of `level`; actions are drawn from `generator`, if any."""
    n = len(states.rows)
    engine = Engine([level], np.zeros(n, np.int64), _ReadyStarts(states))
    engine.reset()
    row = policy.router.tasks.rows([level.name])[0]
    act = _eval(policy, row, n)
    memory = (torch.zeros(n, policy.options.memory),) * 2
    reward, length = np.zeros(n, np.float32), np.zeros(n, np.int64)
    alive, fresh = np.ones(n, np.bool_), torch.ones(n, 1, dtype=torch.bool)
    while alive.any():
        outputs = act(_frames(engine.image, engine.mission, fresh, row, memory))
        memory, fresh = outputs.memory, torch.zeros(n, 1, dtype=torch.bool)
        logits = outputs.logits[:, 0]
        actions = logits.argmax(-1) if generator is None else draw(logits, generator)[0]
        rewards, terminated, truncated = engine.step(actions.numpy())
        reward[alive] += rewards[alive]
        length[alive] += 1
        alive &= ~(terminated | truncated)
    return Scores(success=reward > 0, reward=reward, length=length)


def film(policy: ModularPolicy, level: Level, number: int, out: Path) -> Path:
    """Film the agent in an episode from the level's held-out start state `number`, actions drawn as in training.

    Returns:
        The path of the GIF, `out`/videos/LEVEL-NUMBER.gif.
    """
    from polyray.envs.minigrid.single import BabyAIEnv  # noqa: PLC0415  (loads minigrid and Pillow)
    from polyray.envs.minigrid.video import episode_frames, record  # noqa: PLC0415

    env = BabyAIEnv(level.name, render_mode="rgb_array")
    row = policy.router.tasks.rows([level.name])[0]
    act = _eval(policy, row, 1)
    memory = (torch.zeros(1, policy.options.memory),) * 2
    fresh = torch.ones(1, 1, dtype=torch.bool)

    def choose(observation: dict[str, Any]) -> int:
        nonlocal memory, fresh
        mission = encode(observation["mission"])[None]
        outputs = act(_frames(observation["image"][None], mission, fresh, row, memory))
        memory, fresh = outputs.memory, torch.zeros(1, 1, dtype=torch.bool)
        return int(draw(outputs.logits[:, 0], generator)[0])

    generator = torch.Generator().manual_seed(number)
    start = evaluation_starts([level], number + 1, STATES).at([number])
    frames = episode_frames(env, choose, number, options={"start": start})
    return record(frames, out / FILMS / f"{level.name}-{number}.gif")


def _eval(policy: ModularPolicy, row: int, n: int) -> ActingPolicy:
    return policy.eval().folded(torch.full((n,), row))


def _frames(image: NDArray[np.uint8], mission: NDArray[np.uint8], fresh: torch.Tensor, row: int, memory: Any) -> Frames:
    return Frames(
        image=torch.from_numpy(np.ascontiguousarray(image))[:, None], mission=torch.from_numpy(mission)[:, None],
        fresh=fresh, task=torch.full((len(image),), row), memory=memory,
    )  # fmt: skip
