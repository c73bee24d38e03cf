"""Every space is true to its job: its fields exist there, its draws are configs, its goal is a metric."""

import random

import numpy as np

from polyray.config import field_names, load_config
from polyray.jobs.table import JOBS
from polyray.tune_spaces import SPACES, Space

DRAWS = 40


def draws(space: Space) -> list[dict[str, object]]:
    random.seed(0)
    np.random.seed(0)  # ray.tune's domains draw from it
    return [{name: domain.sample() for name, domain in space.fields().items()} for _ in range(DRAWS)]


def test_every_field_of_every_space_is_one_of_its_job() -> None:
    unknown = [
        (name, field)
        for name, space in SPACES.items()
        for field in [*space.fields(), *space.only_with, *(other for other, _ in space.only_with.values())]
        if field not in field_names(JOBS[space.job].Config)
    ]
    assert unknown == []


def test_every_draw_of_every_space_is_a_config_of_its_job_and_sets_it() -> None:
    for space in SPACES.values():
        config = JOBS[space.job].Config
        configs = [load_config(config, trial=space.trial(draw)) for draw in draws(space)]
        assert len({each.model_dump_json() for each in configs}) == DRAWS


def test_a_field_that_a_draw_leaves_unread_is_left_out_of_the_trial() -> None:
    space = Space(
        about="", job="babyai", goal="mean", mode="max", fields=dict,
        only_with={"routing.n_skills": ("routing.kind", ("polytropon", "soft"))},
    )  # fmt: skip
    draw = {"routing.kind": "shared", "routing.n_skills": 3, "training.lr": 0.1}
    assert space.trial(draw) == {"routing.kind": "shared", "training.lr": 0.1}
    assert space.trial({**draw, "routing.kind": "soft"}) == {**draw, "routing.kind": "soft"}
