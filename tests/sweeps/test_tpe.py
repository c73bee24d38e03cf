"""Optuna's estimator as a searcher: it learns, repeats itself exactly, and respects conditions."""

import math
import random
from dataclasses import replace
from typing import Literal

import pytest

from polyray.sweeps.fields import Field, Grid, IntRange, LogIntRange, LogUniform, OneOf, Uniform, Value
from polyray.sweeps.searchers import RandomSearcher, Search, Searcher, TpeSearcher, Trial
from polyray.sweeps.space import Goal, Space


def space_of(**fields: Field) -> Space:
    return Space(about="", job="walk", goal=Goal("mean"), fields=fields)


RATES = Search(space=space_of(lr=LogUniform(1e-5, 1.0), routing_lr=LogUniform(1e-5, 1.0)), startup=8)
CONDITIONAL = Search(
    space=space_of(
        kind=OneOf(("soft", "hard", "shared")), n_skills=LogIntRange(2, 32, only_with={"kind": ("soft", "hard")}),
        top=IntRange(1, 3, only_with={"kind": ("hard",)}), prior=Grid((0.0, 0.001, 0.1)), noise=Uniform(0, 1, 0.25),
    ),
    startup=4,
)  # fmt: skip


SEARCHERS: tuple[type[Searcher], ...] = (TpeSearcher, RandomSearcher)
STATES: tuple[Literal["stopped", "done", "failed"], ...] = ("stopped", "done", "failed")


def number_of(value: Value) -> float:
    assert isinstance(value, int | float)
    return value


def valley(fields: dict[str, Value]) -> float:
    """0 at lr = 1e-3 and routing_lr = 1e-1, below 0 elsewhere; steeper across the line of their optimal ratio."""
    lr, routing_lr = (math.log10(number_of(fields[name])) for name in ("lr", "routing_lr"))
    return -((lr + 3) ** 2) - 4 * (routing_lr - lr - 2) ** 2


def score(fields: dict[str, Value]) -> float:
    return math.log(number_of(fields.get("n_skills", 1))) - number_of(fields["noise"])


def search(searcher: Searcher, n: int, goal: object = valley) -> list[Trial]:
    """Trials one after the other."""
    assert callable(goal)
    trials: list[Trial] = []
    for number in range(n):
        fields = searcher.ask(number, trials)
        assert fields is not None
        trials.append(Trial(number=number, fields=fields, goals=(goal(fields),), state="done"))
    return trials


def best(trials: list[Trial]) -> float:
    return max(trial.goals[0] for trial in trials if trial.goals)


def test_it_beats_random_draws_on_a_smooth_valley() -> None:
    modelled, drawn = ([best(search(kind(replace(RATES, seed=seed)), 25)) for seed in range(2)] for kind in SEARCHERS)
    assert sum(modelled) > 0.5 * sum(drawn)  # both are negative: half as far from the optimum, on average
    assert max(drawn) < 0


def test_a_searcher_made_anew_proposes_the_same_whatever_the_order_of_the_trials() -> None:
    trials = search(TpeSearcher(CONDITIONAL), 10, score)
    trials[3] = replace(trials[3], state="running", goals=None)
    expected = TpeSearcher(CONDITIONAL).ask(10, trials)
    for seed in range(3):
        shuffled = random.Random(seed).sample(trials, len(trials))
        assert TpeSearcher(CONDITIONAL).ask(10, shuffled) == expected
    trials = search(TpeSearcher(RATES), 10)
    of_others = [
        TpeSearcher(replace(RATES, seed=seed)).ask(number, trials) for seed, number in ((0, 10), (0, 11), (1, 10))
    ]
    assert len({str(fields) for fields in of_others}) == 3


def test_a_searcher_that_has_followed_the_trials_proposes_what_one_made_anew_does() -> None:
    searcher, rng = TpeSearcher(CONDITIONAL), random.Random(5)
    trials: list[Trial] = []
    for number in range(24):  # always three of them run; they end in any order
        fields = searcher.ask(number, rng.sample(trials, len(trials)))
        assert fields == TpeSearcher(CONDITIONAL).ask(number, trials), number
        trials.append(Trial(number=number, fields=fields, state="running"))
        running = [trial for trial in trials if trial.state == "running"]
        if len(running) > 3:
            state, chosen = rng.choice(STATES), rng.choice(running)
            trials[chosen.number] = replace(chosen, state=state, goals=(score(chosen.fields),), step=number)
    for fewer in (trials[:15], trials[3:]):
        assert searcher.ask(24, fewer) == TpeSearcher(CONDITIONAL).ask(24, fewer)


def test_a_trial_that_failed_or_has_no_finite_goal_does_not_count() -> None:
    trials = search(TpeSearcher(RATES), 12)
    last = trials[-1]
    without = TpeSearcher(RATES).ask(12, trials[:-1])
    assert TpeSearcher(RATES).ask(12, trials) != without
    for odd in (
        replace(last, state="failed"), replace(last, goals=(math.nan,)), replace(last, goals=(math.inf,)),
        replace(last, goals=None), replace(last, state="stopped", goals=None),
    ):  # fmt: skip
        assert TpeSearcher(RATES).ask(12, [*trials[:-1], odd]) == without


def test_until_startup_trials_count_it_draws_as_random_does() -> None:
    trials = [replace(trial, state="failed") if trial.number < 3 else trial for trial in search(TpeSearcher(RATES), 10)]
    expected = RandomSearcher(RATES).ask(10, trials)
    assert TpeSearcher(RATES).ask(10, trials) == expected  # 7 of them count
    assert TpeSearcher(replace(RATES, startup=7)).ask(10, trials) != expected


def test_running_trials_keep_others_away() -> None:
    trials = search(TpeSearcher(RATES), 20)
    proposal = TpeSearcher(RATES).ask(25, trials)
    running = [Trial(number=20 + n, fields=proposal, state="running") for n in range(5)]
    assert TpeSearcher(RATES).ask(25, [*trials, *running]) != proposal


def test_a_stopped_trial_ranks_behind_those_that_ended() -> None:
    ended = [
        Trial(number=n, fields={"lr": 1e-4 * (n + 1), "routing_lr": 1e-4}, goals=(float(-n),), state="done")
        for n in range(9)
    ]
    stopped = Trial(number=9, fields={"lr": 0.9, "routing_lr": 0.9}, goals=(9.0,), state="stopped", step=5)

    def exponent(trial: Trial) -> float:
        proposals = [TpeSearcher(RATES).ask(number, [*ended, trial]) for number in range(10, 20)]
        return sum(math.log10(number_of(fields["routing_lr"])) for fields in proposals) / len(proposals)

    as_stopped, as_done, as_failed = (exponent(replace(stopped, state=state)) for state in STATES)
    assert as_stopped < as_done - 0.5 and as_stopped < as_failed  # with that goal it were the best


def test_conditions_are_respected_and_no_configuration_is_proposed_twice() -> None:
    trials = search(TpeSearcher(CONDITIONAL), 26, score)
    space = CONDITIONAL.space
    for trial in trials:
        assert trial.fields == space.read({"n_skills": None, "top": None, **trial.fields})
        assert all(space.fields[name].coordinate(value) >= 0 for name, value in trial.fields.items())
    assert len({repr(trial.fields) for trial in trials}) == 26
    late = [number_of(trial.fields.get("n_skills", 1)) for trial in trials[14:]]
    assert sum(late) / len(late) > 8  # many skills score best


def test_two_goals_lead_to_their_front() -> None:
    modes = replace(RATES, modes=("max", "min"))
    trials: list[Trial] = []
    for number in range(30):
        fields = TpeSearcher(modes).ask(number, trials)
        goals = (valley(fields), (math.log10(number_of(fields["lr"])) + 4) ** 2)  # optima at lr = 1e-3 and lr = 1e-4
        trials.append(Trial(number=number, fields=fields, goals=goals, state="done"))
    late = [math.log10(number_of(trial.fields["lr"])) for trial in trials[15:]]
    between = sum(-4.5 < lr < -2.5 for lr in late)
    assert between >= 10  # of 15; of random draws 6
    stopped = Trial(number=30, fields={"lr": 1.0, "routing_lr": 1.0}, goals=(9.0, -9.0), state="stopped")
    assert TpeSearcher(modes).ask(31, [*trials, stopped]) == TpeSearcher(modes).ask(31, trials)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_mode_says_which_end_is_good(mode: str) -> None:
    one = Search(space=space_of(x=Uniform(0, 1)), modes=("max",) if mode == "max" else ("min",), startup=5)
    trials = search(TpeSearcher(one), 20, lambda fields: number_of(fields["x"]))
    late = [number_of(trial.fields["x"]) for trial in trials[12:]]
    assert (sum(late) / len(late) > 0.75) == (mode == "max")
    assert (sum(late) / len(late) < 0.25) == (mode == "min")
