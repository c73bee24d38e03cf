"""Benchmarks that run jobs give them options that the jobs accept."""

from pathlib import Path

from benchmarks import babyai_episodes, crossfit
from polyray.config import load_config
from polyray.jobs import babyai, compare


def test_the_crossfit_benchmark_compares_the_papers_routers() -> None:
    config = load_config(compare.Config, Path(crossfit.__file__).with_name("crossfit.yaml"))
    assert config.kinds == crossfit.KINDS


def test_every_way_of_sharing_skills_is_one_of_the_babyai_job() -> None:
    for way, options in babyai_episodes.WAYS.items():
        config = load_config(babyai.Config, overrides=[*babyai_episodes.COMMON, *options])
        assert config.routing.kind == way.partition(",")[0]
