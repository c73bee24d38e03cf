"""The arithmetic of large sweeps: closed forms of what the simulation adds up, and sizes of a tiny sweep."""

import math
from pathlib import Path

import pytest
from job_cases import TINY_SUITE

from benchmarks.scale import files, sizes
from benchmarks.scale.simulation import HOUR, Sweep, simulate
from polyray.sweeps.trials import read_rows


def test_without_a_driver_and_deaths_trials_run_in_waves() -> None:
    outcome = simulate(Sweep(trials=10, slots=4, seconds=30.0, boot=100.0, spread=0.0))
    assert outcome.wall == pytest.approx(100 + 3 * 30)
    assert outcome.used == pytest.approx(10 * 30 / (4 * 90))
    assert (outcome.busy, outcome.lost, outcome.longest) == (0.0, 0.0, 0.0)


def test_slots_begin_one_after_the_other_where_the_driver_keeps_up() -> None:
    outcome = simulate(Sweep(trials=12, slots=4, seconds=30.0, driver=2.0, spread=0.0))
    assert outcome.wall == pytest.approx(4 * 2 + 3 * 30 + 2 * 2)
    assert outcome.longest == pytest.approx(3 * 2)
    assert outcome.busy == pytest.approx(12 * 2 / outcome.wall)


def test_a_driver_that_cannot_keep_up_decides_the_time() -> None:
    sweep = Sweep(trials=100, slots=50, seconds=30.0, driver=2.0, spread=0.0)
    outcome = simulate(sweep)
    assert outcome.wall == pytest.approx(100 * 2 + 30)
    assert outcome.used == pytest.approx(100 * 30 / (50 * 230))
    reporting = simulate(Sweep(trials=100, slots=50, seconds=30.0, driver=1.0, reports=10, report=0.1, spread=0.0))
    assert 199.9 <= reporting.wall <= 230  # the same work of the driver, some of it while the first trials train


def test_a_node_that_dies_costs_the_time_since_the_checkpoint_and_the_restart() -> None:
    mild = Sweep(trials=4000, slots=20, seconds=600.0, deaths=1.0, checkpoint=60.0, restart=90.0)
    outcome = simulate(mild)
    n_deaths = mild.trials * mild.seconds / HOUR  # expected
    assert outcome.lost == pytest.approx(n_deaths * 30, rel=0.1)  # half an interval each
    assert outcome.used == pytest.approx(600 / (600 + 600 / HOUR * (30 + 90)), rel=0.02)
    assert simulate(mild) == outcome and simulate(mild, seed=1) != outcome
    alone = simulate(Sweep(trials=1, slots=1, seconds=600.0, deaths=20.0, checkpoint=math.inf, restart=0.0))
    assert alone.wall == pytest.approx(alone.lost + alone.used * alone.wall)


@pytest.mark.slow
def test_files_of_many_trials_are_read_and_shown_as_those_of_a_sweep(tmp_path: Path) -> None:
    sweep = files.ended_sweep(tmp_path / "sweep", 12, "random")
    assert [row.state for row in read_rows(sweep)] == ["done"] * 12
    (first, *_, proposal) = files.rows(sweep, 12)
    assert first["trials"] == 12 and proposal["work"] == "propose a trial (random)"
    assert len(read_rows(sweep)) == 12 + files.ASKS


@pytest.mark.slow
def test_sizes_are_those_of_the_files_of_a_trial(tmp_path: Path) -> None:
    overrides = [*sizes.OVERRIDES, *TINY_SUITE, "training.steps=4", "training.save_every=2", "evaluation.every=2"]
    sweep = sizes.two_trials(tmp_path / "sweep", overrides)
    rows = {row["what"]: row for row in sizes.rows(sweep)}
    assert [row.state for row in read_rows(sweep)] == ["done"] * sizes.N_TRIALS
    lines = (sweep.path / "trials.jsonl").read_bytes()
    assert rows["line of a configuration in trials.jsonl"]["bytes"] == round(len(lines) / 2)
    whole = rows["trial's folder at its end"]
    assert whole["files"] == sum(path.is_file() for path in (sweep.path / "trials" / "0000").rglob("*"))
    assert 0 < rows["checkpoint"]["files"] < whole["files"] and rows["checkpoint"]["bytes"] < whole["bytes"]
