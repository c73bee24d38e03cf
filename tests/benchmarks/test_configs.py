"""Benchmarks that run jobs give them options that the jobs accept."""

from pathlib import Path

from benchmarks import babyai_episodes, crossfit
from polyray.config import load_config
from polyray.jobs import babyai, compare


def test_the_crossfit_benchmark_compares_the_papers_routers() -> None:
    config = load_config(compare.Config, Path(crossfit.__file__).with_name("crossfit.yaml"))
    assert config.kinds == crossfit.KINDS


def test_every_way_of_sharing_skills_in_each_density_is_one_of_the_babyai_job() -> None:
    for command in ([], ["--draw", "episodes", "--init", "1"]):
        arguments = babyai_episodes.parser().parse_args(command)
        for way, kind in babyai_episodes.KINDS.items():
            for density in babyai_episodes.DENSITIES:
                options = babyai_episodes.options_of(way, density, 3, arguments)
                config = load_config(babyai.Config, overrides=options)
                assert (config.routing.kind, config.modules.kind) == (kind, density)
                assert config.training.draw == arguments.draw and config.training.seed == 3
                assert vars(config.modules.options)["init"] == arguments.init
