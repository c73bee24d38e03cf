"""The benchmark of sweeps: its arithmetic, and at a tiny size what it measures."""

from pathlib import Path

import pytest
from job_cases import TINY

from benchmarks.sweeps import control, efficiency
from benchmarks.sweeps.efficiency import SweepTimes
from benchmarks.sweeps.meter import Meter, Sample

TIMES = SweepTimes(
    begins=(10.0, 11.0, 21.5, 20.25), ends=(20.0, 21.0, 31.0, 30.0), end=33.0,
    processor=((5.0, 4.0), (15.0, 14.0), (25.0, 34.0), (33.0, 50.0)),
)  # fmt: skip


def test_a_trial_follows_the_one_that_ended_first() -> None:
    assert TIMES.gaps(slots=2) == [0.25, 0.5]
    assert TIMES.gaps(slots=4) == []


def test_processor_time_is_interpolated_between_two_looks() -> None:
    assert TIMES.processor_between(0.0, 10.0) == pytest.approx(9.0)
    assert TIMES.processor_between(10.0, 40.0) == pytest.approx(41.0)


def test_the_row_of_a_sweep_has_its_speed_over_the_cores() -> None:
    (row,) = efficiency.rows(TIMES, [(9.0, 8.0), (10.0, 8.0), (10.0, 8.0), (10.0, 8.0)], slots=2)
    assert (row["one after another, s"], row["trials, s"], row["start-up, s"], row["end, s"]) == (39.0, 21.0, 10.0, 2.0)
    assert row["over cores"] == pytest.approx(39 / 21 / 2)
    assert row["over cores, start-up included"] == pytest.approx(39 / 33 / 2)
    assert (row["one alone, median s"], row["one in the sweep, median s"]) == (10.0, 9.875)
    assert (row["gap, mean s"], row["gap, longest s"], row["processor s of one"]) == (0.375, 0.5, 8.0)
    assert row["processor s of the start-up"] == pytest.approx(9.0)
    assert row["processor time, over the sweep's"] == pytest.approx(32 / 37)  # at 31.0: 34 + 16 * 6 / 8 = 46, less 9


def test_a_meter_counts_from_the_last_moment_without_a_trial() -> None:
    meter = Meter(lambda: 0)
    meter.samples = [Sample(0, 1.0, 1.0, 9.0), Sample(0, 2.0, 1.5, 9.0), Sample(3, 4.0, 2.0, 9.5)]
    assert meter.since_first_trial() == [Sample(0, 0.0, 0.0, 9.0), Sample(3, 2.0, 0.5, 9.5)]


def test_the_bound_grows_a_little_faster_than_the_trials() -> None:
    assert control.bound(10_000) == pytest.approx(10**1.4)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_tiny_sweep_ends_with_the_results_of_its_trainings_alone(tmp_path: Path) -> None:
    times = efficiency.sweep(tmp_path / "sweep", 3, TINY)
    alone = efficiency.one_after_another(tmp_path / "sweep", tmp_path / "alone")
    (row,) = efficiency.rows(times, alone, slots=1)
    assert row["trials"] == 3 and 0 < row["start-up, s"] < times.end
    assert 0 < row["processor s of one"] < row["one after another, s"]
    assert times.processor_between(0.0, times.end) > row["processor s of the start-up"] > 0


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_drivers_of_a_few_trials_are_measured_and_drawn(tmp_path: Path) -> None:
    results = control.measure([8], "random")
    drivers = [(row["driver"], row["trials"]) for row in control.rows(results)]
    assert drivers == [("polyray sweep", 8), ("Ray Tune alone", 8)]
    for result in results:
        assert result["curve"][0][0] == 0 and 0 < result["curve"][-1][0] <= 8, result["way"]
        assert 0 < result["processor"] and 50 < result["memory_before"] <= result["memory"]
    control.plot(results, tmp_path / "control.svg")
    svg = (tmp_path / "control.svg").read_text()
    assert svg.startswith("<svg") and "Ray Tune alone" in svg and "trials begun" in svg
