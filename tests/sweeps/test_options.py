"""Options of a sweep: the space's defaults, the user's overrides, and refusals."""

import pytest

from polyray.errors import InputError
from polyray.sweeps.fields import OneOf
from polyray.sweeps.options import SweepOptions, goals_of, read_options, searcher_of
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.sweeps.searchers import SEARCHERS
from polyray.sweeps.space import Goal, Space

SPACE = Space(
    about="", job="walk", goal=Goal("mean"), searcher="random", scheduler="asha", fields={"lr": OneOf((0.1, 0.2))}
)


def test_searcher_and_scheduler_are_the_space_s_unless_they_are_set() -> None:
    options, rest = read_options(SPACE, ["training.steps=3", "sweep.trials=7"])
    assert (options.searcher, options.scheduler, options.trials, rest) == ("random", "asha", 7, ["training.steps=3"])
    options, _ = read_options(SPACE, ["sweep.searcher=grid", "sweep.scheduler=none"])
    assert (options.searcher, options.scheduler) == ("grid", "none")


def test_the_goal_is_the_space_s_unless_it_is_set() -> None:
    assert goals_of(SPACE, SweepOptions()) == (Goal("mean", "max"),)
    options = SweepOptions(goal="validation.loss", mode="min", second_goal="seconds")
    assert goals_of(SPACE, options) == (Goal("validation.loss", "min"), Goal("seconds", "min"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.trials=0"], "sweep.trials = 0 .command line, 'sweep.trials=0'.: Input should be greater"),
        (["sweep.trails=3"], "No field is called 'sweep.trails' .* Did you mean 'sweep.trials'"),
        (["sweep.searcher=optuna"], "No searcher is called 'optuna'"),
        (["sweep.scheduler=ahsa"], "No scheduler is called 'ahsa'. Did you mean 'asha'"),
        (["sweep.gpus=1.5"], "whole number, or a fraction of one GPU"),
        (["sweep.goal=loss"], "the goal loss needs a mode: set sweep.mode=max"),
        (["sweep.mode=min"], "sweep.mode .* is not read: sweep.goal is empty"),
        (["sweep.searcher=grid", "sweep.trials=3"], "sweep.trials .* is not read: searcher grid and scheduler asha"),
        (["sweep.quantile=0.1"], "sweep.quantile .* is not read: searcher random and scheduler asha do without it"),
        (["sweep.scheduler=pbt", "sweep.repeats=2"], "sweep.repeats .* is not read"),
    ],
)
def test_options_that_are_wrong_or_not_read_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_options(SPACE, overrides)


def test_the_smallest_sweep_has_one_trial() -> None:
    fields = ("trials=1", "repeats=1", "retries=0", "concurrent=0", "seconds=0", "gpus=0.5", "cpus=0.5", "grace=1")
    options, _ = read_options(SPACE, [f"sweep.{field}" for field in fields])
    assert (options.trials, options.repeats, options.gpus, options.grace) == (1, 1, 0.5, 1)


def test_every_optional_field_that_a_searcher_or_scheduler_reads_is_one_of_the_options() -> None:
    for table in (SEARCHERS, SCHEDULERS):
        for name, entry in table.items():
            assert set(entry.reads) <= set(SweepOptions.model_fields), name


def test_the_searcher_is_made_for_the_space_and_the_seed() -> None:
    first, second = (searcher_of(SPACE, SweepOptions(searcher="random", seed=seed)) for seed in (0, 0))
    assert [first.ask(n, []) for n in range(9)] == [second.ask(n, []) for n in range(9)]
    other = searcher_of(SPACE, SweepOptions(searcher="random", seed=1))
    assert [first.ask(n, []) for n in range(9)] != [other.ask(n, []) for n in range(9)]
