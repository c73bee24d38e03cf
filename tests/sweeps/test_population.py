"""Population based training: who takes over whom, schedules that can be run again, and a sweep that was killed."""

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from job_cases import TINY, outcome
from rich.console import Console
from toy_sweep import drive

from polyray.cluster import launch
from polyray.cluster.inside import OwnProcess
from polyray.cluster.sweeping import population as generations
from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs import polytropon
from polyray.runs.folder import RunFolder
from polyray.sweeps.exploring import Generation, Member, Move, observations
from polyray.sweeps.fields import LogUniform, OneOf
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.population import check_population, moves, read_moves, take_over
from polyray.sweeps.space import Goal, Space
from polyray.sweeps.trials import read_rows
from polyray.training.schedule import Schedule, check_schedule, read_schedule, write_schedule

RATES = {"training.lr": LogUniform(1e-3, 1e-1), "training.routing_lr": LogUniform(1e-3, 1e-1)}
SPACE = Space(about="both speeds", job="polytropon", goal=Goal("validation.score"), searcher="random", fields=RATES)
LARGE = Goal("mean")
SHORT = (
    *TINY, "training.steps=12", "training.report_every=4", "training.save_every=12", "evaluation.every=4",
    "evaluation.dev_examples=2", "evaluation.max_examples=1", "tasks.train_splits=[train]", "modules.rank=1",
)  # fmt: skip


def population(path: Path, trials: int = 4, **options: Any) -> SweepFolder:
    values = {"trials": trials, "searcher": "random", "scheduler": "pbt", **options}
    return SweepFolder(
        path=path, job="polytropon", name="speeds", space=SPACE, options=SweepOptions.model_validate(values),
        overrides=SHORT, seed_field="training.seed",
    )  # fmt: skip


def test_the_worst_take_over_the_best_with_rates_that_are_a_factor_away_or_new() -> None:
    members = [
        Member(number=number, score=score, rates={"training.lr": 10.0**number, "training.routing_lr": 1.0})
        for number, score in enumerate([0.1, 0.9, 0.5, 0.8, 0.2, 0.6, 0.7, 0.3])
    ]
    options = SweepOptions.model_validate({"scheduler": "pbt", "resample": 0.0, "searcher": "random"})
    made = moves(members, SPACE, LARGE, options, [])
    assert [move.number for move in made] == [0, 4] and {move.donor for move in made} <= {1, 3}
    for move in made:
        assert move.rates["training.lr"] / 10.0**move.donor in (pytest.approx(0.8), pytest.approx(1.25))
        assert move.rates["training.routing_lr"] in (0.8, 1.25)
    later = [Generation(members=members, moves=made)]
    assert moves(members, SPACE, LARGE, options, []) == made != moves(members, SPACE, LARGE, options, later)
    assert {move.number for move in moves(members, SPACE, Goal("mean", "min"), options, [])} == {1, 3}
    anew = options.model_copy(update={"resample": 1.0})
    assert all(1e-3 <= rate <= 1e-1 for move in moves(members, SPACE, LARGE, anew, []) for rate in move.rates.values())
    pair = moves(members[:2], SPACE, LARGE, options.model_copy(update={"quantile": 0.5}), [])
    assert [(move.number, move.donor) for move in pair] == [(0, 1)]


def grown(mode: Literal["max", "min"], n_generations: int = 6) -> list[Generation]:
    """Generations of 8 trials under pb2 whose score grows the faster the nearer lr is to 0.01; no other rate counts."""
    goal, options = Goal("mean", mode), SweepOptions.model_validate({"scheduler": "pb2", "searcher": "random"})
    rng, history = random.Random(0), list[Generation]()
    rates = {number: {name: field.draw(rng) for name, field in RATES.items()} for number in range(8)}
    scores = dict.fromkeys(rates, 0.0)
    for _ in range(n_generations):
        for number, its in rates.items():
            scores[number] += goal.sign * math.exp(-((math.log10(its["training.lr"]) + 2) ** 2))
        members = [Member(number=n, score=scores[n], rates=rates[n]) for n in rates]
        made = moves(members, SPACE, goal, options, history)
        history.append(Generation(members=members, moves=made))
        scores |= {move.number: scores[move.donor] for move in made}
        rates |= {move.number: dict(move.rates) for move in made}
    return history


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_model_of_gains_proposes_rates_that_gain_most(mode: Literal["max", "min"]) -> None:
    history = grown(mode)
    proposed = [[move.rates for move in generation.moves] for generation in history]
    assert all(1e-3 <= rate <= 1e-1 for moves in proposed for rates in moves for rate in rates.values())
    for first, second in proposed:  # the second one is told of the first
        assert first != second
    late = [abs(math.log10(rates["training.lr"]) + 2) for rates in proposed[-1]]
    assert max(late) < 0.35, late  # of a field two decades wide
    seen = observations(history[:2], sorted(RATES), SPACE, Goal("mean", mode))
    assert len(seen) == 16
    (move, *_) = history[0].moves
    scores = [{m.number: abs(m.score) for m in generation.members} for generation in history]
    assert seen[8 + move.number].gain == pytest.approx(scores[1][move.number] - scores[0][move.donor])


def test_fields_that_cannot_change_in_training_are_refused() -> None:
    options = SweepOptions.model_validate({"scheduler": "pbt", "searcher": "random"})
    space = Space(about="", job="", goal=Goal("mean"), fields={**RATES, "routing.kind": OneOf(("soft", "hard"))})
    with pytest.raises(InputError, match=r"routing.kind cannot change then. Fields that can: training.lr, training.r"):
        check_population(space, options)
    check_population(SPACE, options)
    listed = Space(about="", job="", goal=Goal("mean"), fields={"training.lr": OneOf((0.1, 0.2))})
    check_population(listed, options)
    with pytest.raises(InputError, match=r"pb2 models rates between two ends .*training.lr has none"):
        check_population(listed, options.model_copy(update={"scheduler": "pb2"}))
    with pytest.raises(InputError, match="at least 2 trials"):
        check_population(SPACE, options.model_copy(update={"trials": 1}))


def test_a_schedule_sets_the_peak_of_each_group_of_the_router_s_speed() -> None:
    groups: list[dict[str, Any]] = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "name": name, "peak": 9.0, "lr": 9.0}
        for name in ("skills", "heads", "routing", "backbone")
    ]
    schedule = Schedule(changes=((0, {"training.lr": 0.1, "training.routing_lr": 1.0}), (5, {"training.lr": 0.2})))
    for step, speed, peaks in (
        (0, "routing", [0.1, 0.1, 1.0, 9.0]), (5, "routing", [0.2, 0.2, 1.0, 9.0]), (5, "skills", [0.2, 0.2, 0.2, 9.0])
    ):  # fmt: skip
        adam = torch.optim.Adam([dict(group) for group in groups])
        schedule.install(adam, step, speed)
        assert [group["peak"] for group in adam.param_groups] == peaks, (step, speed)
    rising = Schedule(changes=((3, {"training.backbone_lr": 0.5}),))
    for step, peak in ((2, 9.0), (3, 0.5)):
        adam = torch.optim.Adam([dict(group) for group in groups])
        rising.install(adam, step, "routing")
        assert adam.param_groups[3]["peak"] == peak


def test_a_schedule_is_read_as_it_was_written_and_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "schedule.json"
    schedule = Schedule(changes=((0, {"training.lr": 0.1, "training.routing_lr": 1.0}), (5, {"training.lr": 0.2})))
    write_schedule(file, schedule)
    assert read_schedule(file) == schedule
    assert [schedule.rates(step)["training.lr"] for step in (0, 4, 5, 99)] == [0.1, 0.1, 0.2, 0.2]
    assert schedule.rates(9)["training.routing_lr"] == 1.0 and schedule.until(5).changes == schedule.changes[:1]
    cases: Mapping[str, Any] = {
        "must rise, found 5, 0": {"changes": [[5, {"training.lr": 1}], [0, {"training.lr": 1}]]},
        "'training.steps' cannot change": {"changes": [[0, {"training.steps": 1}]]},
        "changes.0.1.training.lr: Input should be greater than 0": {"changes": [[0, {"training.lr": 0}]]},
    }
    for message, content in cases.items():
        file.write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            read_schedule(file)
    file.write_text(json.dumps({"changes": [[0, {"training.backbone_lr": 0.1}]]}))
    with pytest.raises(InputError, match="freezes the backbone"):
        check_schedule(str(file), 0.0)
    check_schedule(str(file), 0.1)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_population_ends_the_same_when_it_was_interrupted_and_its_schedules_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "write_report", lambda folder: None)
    whole = population(tmp_path / "whole")
    drive(whole, job=polytropon.JOB)
    made = [move for generation, _ in read_moves(whole.path) for move in generation]
    assert made and [row.state for row in read_rows(whole)] == ["done"] * 4
    sweep = population(tmp_path / "sweep")
    crashes = [None]

    def crashing(folder: Path, donor: Path, move: Move) -> None:
        if crashes:
            crashes.pop()
            raise KeyboardInterrupt
        take_over(folder, donor, move)

    monkeypatch.setattr(generations, "take_over", crashing)
    numbers = [0]
    while numbers:  # as if the driver died after every third piece of training, and once while states are taken over
        try:
            numbers = drive(sweep, 3, job=polytropon.JOB)
        except KeyboardInterrupt:
            assert not crashes and [done for _, done in read_moves(sweep.path)] == [False]
    assert not crashes
    for one, other in zip(read_rows(sweep), read_rows(whole), strict=True):
        assert outcome(one.folders[0]) == outcome(other.folders[0])
    moved = whole.folders(made[-1].number)[0]
    schedule = read_schedule(moved / "schedule.json")
    assert len(schedule.changes) > 1
    assert schedule.donor == made[-1].donor == read_rows(whole)[made[-1].number].donor
    config = load_config(
        polytropon.Config, overrides=[*SHORT, f"training.schedule={moved / 'schedule.json'}", "training.lr=0.9"]
    )
    again = RunFolder(path=tmp_path / "again", job="polytropon", config=config, address=None)
    launch.run_in(again, polytropon.JOB, Console(quiet=True), cluster=OwnProcess())
    assert outcome(again.path) == outcome(moved)
