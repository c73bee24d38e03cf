"""A level of one's own is registered once, and then played everywhere exactly as minigrid plays it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from minigrid.core.world_object import Ball, Lava, Wall
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc, PickupInstr
from minigrid.envs.babyai.goto import GoToLocal

from polyray.envs import register_level
from polyray.envs.levels import ABOUT, LEVELS, level_called, levels_of
from polyray.envs.minigrid.vector import BabyAIVectorEnv
from polyray.envs.missions import decode
from polyray.envs.starts.evaluation import evaluation_starts
from polyray.errors import InputError

pytestmark = pytest.mark.agents  # compiles for some ten seconds at first


class Fetch(RoomGridLevel):
    """A room with some balls; it counts its episodes, so that each environment needs a copy of its own."""

    def __init__(self, room_size: int = 6, **options: Any) -> None:
        self.episodes = 0
        super().__init__(room_size=room_size, num_rows=1, num_cols=2, **options)

    def gen_mission(self) -> None:
        self.episodes += 1
        self.place_agent(0, 0)
        self.add_door(0, 0, locked=False)
        self.add_object(self.episodes % 2, 0, "ball", "red")
        self.add_distractors(0, 0, num_distractors=2)
        self.instrs = PickupInstr(ObjDesc("ball"), strict=True)


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """The tables of levels are as before after each test."""
    tables: tuple[dict[str, Any], ...] = (LEVELS, ABOUT, gymnasium.registry)
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


def test_a_batch_of_an_own_level_is_that_of_minigrids_environments() -> None:
    level = register_level("Fetch", Fetch, competencies=("room",), room_size=5)
    assert (level.width, level.height, level.max_steps, level.rooms) == (9, 5, 50, 2)
    assert ABOUT["Fetch"] == "9 x 5 tiles, at most 50 steps: room"
    ours: Any = BabyAIVectorEnv(6, levels=("GoToObjS4", "Fetch"))
    theirs: Any = SyncVectorEnv(
        [lambda: gymnasium.make("BabyAI-GoToObjS4-v0")] * 3 + [lambda: gymnasium.make("level/Fetch-v0")] * 3
    )
    actions = np.random.default_rng(0)
    for seed in (3, None, 3):
        observed: Any = ours.reset(seed=seed)
        expected: Any = theirs.reset(seed=seed)
        for _ in range(60):
            assert np.array_equal(observed[0]["image"], expected[0]["image"])
            assert [decode(words) for words in observed[0]["mission"]] == list(expected[0]["mission"])
            chosen = actions.choice(7, 6, p=(0.15, 0.15, 0.3, 0.2, 0.05, 0.15, 0.0))
            observed, expected = ours.step(chosen), theirs.step(chosen)
            assert all(np.allclose(observed[index], expected[index], atol=1e-6) for index in (1, 2, 3))


def test_an_own_level_is_made_by_gymnasium_and_scored_on_held_out_states() -> None:
    level = register_level("Fetch", Fetch)
    env: Any = gymnasium.make("polyray/Fetch-v0")
    theirs: Any = gymnasium.make("level/Fetch-v0")
    assert env.reset(seed=1)[0]["mission"] == theirs.reset(seed=1)[0]["mission"]
    assert env.unwrapped.hash() == theirs.unwrapped.hash()
    state = evaluation_starts([level], 4, 0)
    env.reset(options={"start": state.at([2])})
    assert levels_of(None, ["Fetch"]) == (level,)


def test_a_level_may_be_registered_anew_and_by_an_id() -> None:
    register_level("Mine", GoToLocal, room_size=5, num_dists=2, max_steps=7)
    assert (LEVELS["Mine"].width, LEVELS["Mine"].max_steps) == (5, 7)
    register_level("Mine", GoToLocal, room_size=6)
    assert (LEVELS["Mine"].width, LEVELS["Mine"].max_steps) == (6, 36)
    gymnasium.register("Town-v3", "minigrid.envs.babyai:GoTo", kwargs={"room_size": 5, "num_dists": 2})
    assert register_level("Town", "Town-v3").width == 13
    assert gymnasium.make("polyray/Town-v0").reset(seed=0)[0]["mission"].startswith("go to")


class OwnStep(Fetch):
    """Another game."""

    def step(self, action: Any) -> Any:
        return super().step(action)


class WithLava(Fetch):
    """Something that no level of BabyAI has."""

    def gen_mission(self) -> None:
        super().gen_mission()
        self.place_obj(Lava())


class Sticky(Ball):
    """A ball that cannot be picked up."""

    def can_pickup(self) -> bool:
        return False


class WithSticky(Fetch):
    def gen_mission(self) -> None:
        super().gen_mission()
        self.place_obj(Sticky("blue"))


class WithRedWall(Fetch):
    def gen_mission(self) -> None:
        super().gen_mission()
        self.place_obj(Wall("red"))


class Touch(GoToInstr):
    """An instruction of one's own."""


class WithTouch(Fetch):
    def gen_mission(self) -> None:
        super().gen_mission()
        instruction: Any = Touch(ObjDesc("ball"))
        self.instrs = instruction


class Opened(Fetch):
    """A hole in the outer wall."""

    def gen_mission(self) -> None:
        super().gen_mission()
        self.grid.set(0, 1, None)


class Crowded(Fetch):
    """More objects than cells."""

    def gen_mission(self) -> None:
        super().gen_mission()
        self.add_distractors(0, 0, num_distractors=30)


def test_a_level_that_can_never_be_made_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyray.envs.starts.reference.BEGINNINGS", 3)
    with pytest.raises(InputError, match=r"'Crowded' has begun a level anew 3 times.*Last reason: .*rejection"):
        register_level("Mine", Crowded)


def test_what_the_engine_would_play_otherwise_is_refused() -> None:
    wrong: list[tuple[str, Any, dict[str, Any], str]] = [
        ("GoToLocal", GoToLocal, {}, "'GoToLocal' is a level of BabyAI; give .* another name"),
        ("my level", Fetch, {}, "name of a level has letters, digits"),
        ("Mine", dict, {}, "a subclass of minigrid's RoomGridLevel or the id of one"),
        ("Mine", "Nobody-v0", {}, "Nobody has registered 'Nobody-v0'"),
        ("Mine", "BabyAI-GoTo-v0", {"room_size": 5}, "stands for its arguments too; room_size go"),
        ("Mine", "MiniGrid-Empty-5x5-v0", {}, "is of the class EmptyEnv, not a level of BabyAI"),
        ("Mine", Fetch, {"agent_view_size": 9}, "show 9x9"),
        ("Mine", Fetch, {"room_size": 140}, "279x140 tiles; less than 255"),
        ("Mine", OwnStep, {}, "OwnStep has a step of its own"),
        ("Mine", WithLava, {}, "WithLava cannot be played: capture: BabyAI's levels hold no .* lava"),
        ("Mine", WithSticky, {}, "WithSticky cannot be played: .* no blue ball like this"),
        ("Mine", WithRedWall, {}, "no red wall like this"),
        ("Mine", WithTouch, {}, "Touch is no instruction of BabyAI's language"),
        ("Mine", Opened, {}, "'Mine' cannot be played: with seed 0 its grid is not enclosed by walls"),
    ]
    for name, source, options, message in wrong:
        with pytest.raises(InputError, match=message):
            register_level(name, source, **options)
    assert "Mine" not in LEVELS and "polyray/Mine-v0" not in gymnasium.registry


MODULE = """
from minigrid.envs.babyai.goto import GoToLocal
from polyray.envs import register_level
class Small(GoToLocal):
    pass
register_level("Small", Small, room_size=5, num_dists=2)
"""
WORKER = """
import pickle, sys, numpy as np
from polyray.envs.starts.resumable import starts_for
from polyray.envs.engine.state import empty
level = pickle.loads(bytes.fromhex(sys.argv[1]))
state, rows = empty(3, level.height, level.width), np.arange(3)
starts_for([level], seed=0).fill(state, rows, 0 * rows)
print(level.env_id, state.limit.tolist())
"""
JOB = """
import pickle
from polyray.config import load_config
from polyray.jobs.babyai import Config, check
levels, policy = check(load_config(Config, None, ["levels=[Small,GoToObjS4]", "ticket.frames=0"]))
print(policy.router.tasks.names, pickle.dumps(levels[0]).hex())
"""


def run(program: str, folder: Path, *arguments: str, modules: str = "") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "POLYRAY_LEVELS": modules}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, cwd="/"
    )


def test_jobs_find_levels_in_the_modules_of_the_variable_and_their_workers_too(tmp_path: Path) -> None:
    (tmp_path / "my_levels.py").write_text(MODULE, encoding="utf-8")
    job = run(JOB, tmp_path, modules="my_levels")
    assert job.returncode == 0, job.stderr
    worker = run(WORKER, tmp_path, job.stdout.split()[-1])
    assert worker.stdout == "my_levels:level/Small-v0 [25, 25, 25]\n", worker.stderr


def test_a_level_that_no_module_registers_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYRAY_LEVELS", "json, nowhere.levels")
    with pytest.raises(InputError, match=r"names the module 'nowhere.levels', which is not found: .* PYTHONPATH"):
        level_called("Mine")
    monkeypatch.setenv("POLYRAY_LEVELS", "my levels")
    with pytest.raises(InputError, match="holds names of modules, separated by commas; 'my levels' is none"):
        level_called("Mine")
    monkeypatch.setenv("POLYRAY_LEVELS", "json")
    with pytest.raises(InputError, match="No level is called 'GoToLocl'. Did you mean 'GoToLocal'"):
        level_called("GoToLocl")
