from typing import Any

import gymnasium
import minigrid
import pytest

from polyray.envs.levels import EXPERT, LEVELS, SUITES, Level, levels_of
from polyray.errors import InputError


def test_the_levels_are_all_that_minigrid_registers() -> None:
    assert minigrid.__version__
    registered = sorted(env_id for env_id in gymnasium.registry if env_id.startswith("BabyAI-"))
    assert sorted(level.env_id for level in LEVELS.values()) == registered
    assert len(LEVELS) == 96


@pytest.mark.parametrize("level", LEVELS.values(), ids=lambda level: level.name)
def test_a_levels_grid_is_that_of_minigrid(level: Level) -> None:
    env: Any = gymnasium.make(level.env_id).unwrapped
    assert (level.width, level.height) == (env.width, env.height)
    assert level.rooms == env.num_rows * env.num_cols
    assert not env.fixed_max_steps or level.max_steps == env.max_steps


def test_every_suite_holds_known_levels() -> None:
    for names in SUITES.values():
        assert set(names) <= set(LEVELS) and len(set(names)) == len(names)
    assert len(SUITES["paper8"]) == 8 and set(EXPERT) == set(SUITES["paper8"])


def test_the_expert_allocation_follows_the_competencies() -> None:
    skills = ("room", "distr_box", "distr", "goto", "put", "pickup", "loc", "maze")
    for name, allocated in EXPERT.items():
        assert {skills[skill] for skill in allocated} == set(LEVELS[name].competencies)


def test_levels_are_found_by_suite_or_by_name() -> None:
    assert [level.name for level in levels_of("paper8", ())] == list(SUITES["paper8"])
    assert levels_of(None, ["GoTo", "GoToObjS6"])[1].env_id == "BabyAI-GoToObjS6-v1"


@pytest.mark.parametrize(
    ("suite", "names", "message"),
    [
        (None, ["GoToLokal"], "Did you mean 'GoToLocal'"),
        ("paper9", [], "Did you mean 'paper8'"),
        (None, [], "neither is given"),
        ("paper8", ["GoTo"], "both are given"),
        (None, ["GoTo", "GoTo"], "more than once"),
    ],
)
def test_a_wrong_choice_of_levels_is_explained(suite: str | None, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        levels_of(suite, names)
