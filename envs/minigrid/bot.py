"""minigrid's bot on the compiled engine: demonstrations to imitate, and an upper bound of what agents can reach."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from minigrid.utils.baby_ai_bot import BabyAIBot, DisappearedBoxError
from numpy.typing import NDArray

from polyray.envs.minigrid.single import BabyAIEnv, Observation
from polyray.envs.minigrid.world import World
from polyray.envs.missions import encode
from polyray.envs.starts.fingerprints import fingerprints, is_held_out
from polyray.errors import InputError

PLAN_LIMIT = 200  # subgoals; the bot's plans have a few dozen, but some grow without end (UnlockToUnlock)


class StuckError(Exception):
    """The bot has no next action: its plan grows without end, or the level is beyond it."""


class Bot:
    """minigrid's BabyAIBot on a `World`, for one episode (Chevalier-Boisvert et al. 2019, arXiv:1810.08272, section 4).

    It knows the instruction's objects and sees what the agent sees. It cannot play KeyInBox and the PutNext levels that
    start carrying, and it ignores the order of doors in the OpenDoorsOrder levels, which is strict in the Debug ones.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._bot = BabyAIBot(world)
        self._bot.stack = _Plan(self._bot.stack)

    def act(self) -> int:
        """Next action, 0 to 6.

        Raises:
            StuckError: the bot has no next action.
        """
        self._world.look()
        try:
            return int(self._bot.replan())
        except (AssertionError, TypeError, DisappearedBoxError) as error:  # how minigrid's bot gives up
            raise StuckError(str(error)) from error


class _Plan(list[Any]):
    """Stack of the bot's subgoals, of limited length."""

    def append(self, subgoal: Any) -> None:
        if len(self) >= PLAN_LIMIT:
            raise StuckError(f"the bot's plan has {PLAN_LIMIT} steps and no action")
        super().append(subgoal)


@dataclass(frozen=True, kw_only=True)
class Demonstrations:
    """Observations and actions of the bot in the episodes that it solved, concatenated: N steps."""

    image: NDArray[np.uint8]  # [N, 7, 7, 3]
    direction: NDArray[np.uint8]  # [N]
    mission: NDArray[np.uint8]  # [N, LENGTH]
    action: NDArray[np.int64]  # [N]
    fresh: NDArray[np.bool_]  # [N] the step is the first of its episode
    episodes: int  # solved, and included here
    failures: int  # episodes that the bot did not solve, not included
    held_out: int  # episodes whose start state is held out for evaluation, not included


@dataclass
class _Episode:
    """Observations and actions of one episode so far, one entry a step."""

    mission: str
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    directions: list[int] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)


def demonstrate(
    level: str, seeds: Iterable[int], *, skip_held_out: bool = False, episodes: int | None = None
) -> Demonstrations:
    """Demonstrations of the bot in the episodes of `BabyAIEnv(level).reset(seed=seed)` for each of `seeds`.

    They are deterministic. Episodes that the bot does not solve within the level's step limit are left out and counted,
    and so are, with `skip_held_out`, those whose start state is held out (`polyray.envs.starts.fingerprints`).

    Args:
        episodes: number after which seeds are left, counting those that the bot does not solve; None: take all seeds.

    Raises:
        InputError: no level is called so, or no episode is left.
    """
    env, solved = BabyAIEnv(level), list[_Episode]()
    n_failures = n_held_out = 0
    for seed in seeds:
        if len(solved) + n_failures == episodes:
            break
        observation, _ = env.reset(seed=seed)
        if skip_held_out and is_held_out(fingerprints(env.state)[0]):
            n_held_out += 1
            continue
        episode = _play(env, observation)
        if episode is None:
            n_failures += 1
        else:
            solved.append(episode)
    if not solved:
        raise InputError(f"There is nothing to imitate: the bot solves none of {n_failures} episodes of {level}.")
    return _joined(solved, n_failures, n_held_out)


def success_rate(level: str, episodes: int, *, seed: int = 0) -> float:
    """Share of `episodes` episodes, begun with the seeds from `seed` on, that the bot solves, from 0 to 1.

    Raises:
        InputError: no level is called so, or `episodes` is below 1.
    """
    if episodes < 1:
        raise InputError(f"A success rate needs at least one episode, not {episodes}.")
    env = BabyAIEnv(level)
    starts = (env.reset(seed=seed + number)[0] for number in range(episodes))
    return sum(_play(env, observation) is not None for observation in starts) / episodes


def _play(env: BabyAIEnv, observation: Observation) -> _Episode | None:
    """Play the episode that `observation` begins with the bot; None if it is not solved."""
    bot, episode = Bot(env.world()), _Episode(mission=env.mission)
    while True:
        try:
            action = bot.act()
        except StuckError:
            return None
        episode.images.append(observation["image"])
        episode.directions.append(observation["direction"])
        episode.actions.append(action)
        observation, reward, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            return episode if reward > 0 else None


def _joined(episodes: list[_Episode], failures: int, held_out: int) -> Demonstrations:
    lengths = np.array([len(episode.actions) for episode in episodes], np.int64)
    fresh = np.zeros(lengths.sum(), np.bool_)
    fresh[np.cumsum(lengths) - lengths] = True
    return Demonstrations(
        image=np.array([image for episode in episodes for image in episode.images], np.uint8),
        direction=np.array([direction for episode in episodes for direction in episode.directions], np.uint8),
        mission=np.repeat(np.array([encode(episode.mission) for episode in episodes]), lengths, axis=0),
        action=np.array([action for episode in episodes for action in episode.actions], np.int64),
        fresh=fresh,
        episodes=len(episodes),
        failures=failures,
        held_out=held_out,
    )
