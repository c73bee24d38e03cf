"""Costs of long runs out of the moments of short ones, and forecasts out of costs, by figures worked out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polyray.cluster.preflight import measuring
from polyray.cluster.preflight.costs import Cost, Files, Seconds, interrupted_seconds, mean_seconds, seconds_of
from polyray.cluster.preflight.forecast import GAP, Start, forecast
from polyray.cluster.preflight.measuring import cost_of, measure
from polyray.cluster.preflight.outlined import makespan, outlined
from polyray.cluster.preflight.stopwatch import Stopwatch, timed_run
from polyray.config import Section, load_config
from polyray.errors import Interrupted
from polyray.jobs.table import JOBS
from polyray.runs.job import Job, Outline, Portion, Result
from polyray.runs.run import Run
from polyray.runs.workload import Amounts, Workload


def watched(looks: list[float], *events: tuple[float, float, float]) -> Stopwatch:
    """A stopwatch of a run that began at 0; events: beginning and end of a report, and end of its checkpoint."""
    watch = Stopwatch(deadline=1e9, clock=lambda: 0.0)
    watch.looks = looks
    watch.reports = [(begun, end) for begun, end, _ in events]
    watch.checkpoints = [(end, saved) for _, end, saved in events]
    return watch


EXPECTED = Seconds(setup=5.0, step=2.0, report=0.25, validation=1.5, checkpoint=0.75, end=4.0)


def test_stretches_of_a_language_models_run_lie_between_its_looks_reports_and_checkpoints() -> None:
    # set-up 4, steps of 2.5; after the second and third a validation of 1 and of 2, a report and a checkpoint; then 4
    watch = watched([6.5, 9.0, 13.5], (10.0, 10.25, 11.0), (15.5, 15.75, 16.5))
    assert seconds_of(watch, 20.5, validates=True) == replace(EXPECTED, setup=4.0, step=2.5)
    assert seconds_of(watch, 20.5, validates=False) == replace(
        EXPECTED, setup=4.0, step=2.5, report=1.75, validation=0.0
    )
    one = watched([9.0], (10.5, 10.75, 11.5))
    assert seconds_of(one, 11.5, validates=True, usual=EXPECTED).setup == 7.0


def test_what_lies_between_two_phases_is_set_up_once(tmp_path: Path) -> None:
    # set-up 4, steps of 2, 2 and, behind a selection of 10 that ends with the second phase's start, 2 and 2
    watch = watched([6.0, 8.0, 20.0, 22.0], (8.0, 8.0, 8.0), (22.0, 22.0, 22.0))
    watch.changes = [1.0, 17.0]  # the first phase began at 1
    assert seconds_of(watch, 23.0, validates=False) == Seconds(setup=14.0, step=2.0, end=1.0)
    assert interrupted_seconds(Seconds(setup=9.0, step=1.0), watch).step == 2.0
    times = iter([0.0, 3.0, 4.0])
    watch = Stopwatch(deadline=1.0, clock=lambda: next(times))
    assert timed_run(watch)(tmp_path).phase("full").phase("sparse").out == tmp_path and watch.changes == [3.0, 4.0]


def test_stretches_of_an_agents_run_whose_validation_lies_before_the_look_after_it() -> None:
    # set-up 5, iterations of 2, reports of 0.25 before each look; in the third a validation of 1.5
    watch = watched([7.25, 9.5, 13.25], (7.0, 7.25, 7.25), (9.25, 9.5, 9.5), (13.0, 13.25, 14.0))
    watch.checkpoints = watch.checkpoints[-1:]
    assert seconds_of(watch, 18.0, validates=True) == replace(EXPECTED, setup=5.25)
    one = watched([10.75], (10.5, 10.75, 11.5))
    assert seconds_of(one, 11.5, validates=True, usual=EXPECTED).setup == 7.0


def test_a_run_that_was_stopped_on_its_way_gives_its_steps_and_several_runs_their_means() -> None:
    first, stopped = Seconds(setup=9.0, step=0.0, end=4.0), watched([7.0, 9.0, 11.0])
    assert interrupted_seconds(first, stopped) == Seconds(setup=7.0, step=2.0, end=4.0)
    told_apart = Seconds(setup=9.0, step=1.0, end=4.0)
    assert interrupted_seconds(told_apart, stopped) == Seconds(setup=9.0, step=2.0, end=4.0)
    assert mean_seconds([first, replace(first, step=3.0)]) == replace(first, step=1.5)


def test_a_run_whose_time_is_over_takes_some_steps_after_its_first_one(tmp_path: Path) -> None:
    times = iter([0.0, 30.0, 34.9, 35.1])  # its beginning, and three looks
    run = timed_run(Stopwatch(deadline=1.0, clock=lambda: next(times)))(tmp_path)
    assert [run.stop_requested for _ in range(3)] == [False, False, True]


AMOUNTS = Amounts(steps=100, reports=10, validations=5, checkpoints=4, scored=60)
COST = Cost(
    first=Seconds(setup=20.0, step=0.0, end=2.0), scored_first=10, scored=30, stride=2, memory=1e9, amounts=AMOUNTS,
    later=Seconds(setup=1.0, step=0.5, report=0.1, validation=2.0, checkpoint=0.5, end=4.0),
    files=Files(fixed=1000.0, report=10.0, line=4.0, checkpoint=500.0),
)  # fmt: skip


def test_a_whole_run_is_the_sum_of_its_stretches() -> None:
    # 1 set-up + 50 looks * 0.5 + 10 * 0.1 + 5 * 2 + 4 * 0.5 + 4 at the end + 30 more examples at (4 - 2) / (30 - 10)
    assert COST.seconds() == pytest.approx(1 + 25 + 1 + 10 + 2 + 4 + 3)
    assert COST.seconds(first=True) == pytest.approx(COST.seconds() + 19)
    assert COST.disk == 1000 + 10 * 10 + 2 * (500 + 10 * 4)


def test_a_sweep_is_its_start_and_its_trials_shared_among_workers() -> None:
    expected = forecast([COST, COST], Start(ray=6.0, worker=4.0), runs=200, at_once=3, n_nodes=2)
    assert expected.trial == pytest.approx(46) and expected.step == 0.25 and expected.disk == 200 * 2180
    assert expected.seconds == pytest.approx(6 + 4 + 19 + 200 / 3 * 46 + 66 * GAP + 23)
    assert expected.at_once_on_a_node == 2 and expected.node_hours == pytest.approx(2 * expected.seconds / 3600)
    alone = forecast([COST], Start(ray=6.0, worker=4.0), runs=1, at_once=3, n_nodes=2)
    assert alone.seconds == pytest.approx(6 + 4 + 19 + 46) and alone.n_nodes == alone.at_once == 1


def test_a_run_of_smaller_runs_is_their_levels_and_the_scoring_worked_by_hand() -> None:
    lengths = {"long": 100, "short": 50}
    work = Workload(
        amounts=lambda config, stride: replace(AMOUNTS, steps=lengths[config], reports=0, checkpoints=0),
        shorten=lambda config, steps, events, scored: config,
    )
    job = Job(about="Steps.", Config=Section, run=lambda config, run: Result(metrics={}), workload=work)
    both: Any = [("long", "long", "short"), ("short",)]
    outline = Outline(
        name="steps", job=job, cells=4, scored=60, left_out=("x",),
        portions=(
            Portion(about="first", configs=both[0], levels=(0, 1, 1)),
            Portion(about="last", configs=both[1], levels=(1,), scores=True),
        ),
    )  # fmt: skip
    plan = outlined([COST, COST], outline, Start(ray=6.0, worker=4.0), at_once=2, n_nodes=2)
    # long: 20 set-up + 50 looks * 0.5 + 5 * 2 + 4 + 3 for the rest of the examples; short: 12.5 less
    long, short = 62.0, 49.5
    # long alone, then long beside two short ones; 60 examples of 0.1, and 4 backbones of 1, on two
    assert plan.seconds == pytest.approx(6 + 4 + long + max(long, 2 * short) + (60 * 0.1 + 4) / 2)
    assert (plan.runs, plan.at_once, plan.steps) == (4, 2, 75)
    assert plan.trial == pytest.approx((2 * long + 2 * short) / 4)
    assert plan.portions[0] == "3 x first: 100 steps of 0.25 s, 57.8 s each" and plan.left_out == ("x",)
    assert plan.disk == 4 * COST.files.total(replace(AMOUNTS, reports=0, checkpoints=0))
    assert makespan([3.0, 1.0, 2.0, 2.0], 2) == 4.0


def test_work_is_counted_as_it_is_done() -> None:
    polytropon, babyai = JOBS["polytropon"], JOBS["babyai"]
    assert polytropon.workload is not None and babyai.workload is not None
    lengths = ["training.steps=25", "training.report_every=10", "training.save_every=20", "tasks.train_splits=[train]"]
    config = load_config(polytropon.Config, overrides=[*lengths, "evaluation.every=10", "evaluation.max_examples=2"])
    amounts = polytropon.workload.amounts(config, 1)
    # reports after 10, 20, 25; checkpoints after 20 and 25
    assert (amounts.steps, amounts.reports, amounts.validations, amounts.checkpoints) == (25, 3, 3, 2)
    short: Any = polytropon.workload.shorten(config, 6, 2, 1)
    assert (short.training.steps, short.training.report_every, short.evaluation.every) == (6, 3, 3)
    assert polytropon.workload.amounts(short, 1).scored == amounts.scored / 2
    assert short.modules == vars(config)["modules"] and short.training.lr == vars(config)["training"].lr
    workers = load_config(polytropon.Config, overrides=[*lengths, "workers.n=4", "training.batch=32"])
    assert polytropon.workload.shorten(workers, 3, 1, 1).training.batch == 8
    assert "workers.n=4" in polytropon.workload.left_out(workers)[0] and not polytropon.workload.left_out(config)
    ltsft = JOBS["ltsft"]
    assert ltsft.workload is not None
    phases = ["suite=planted", "training.steps=25", "method.full_steps=10", "training.report_every=10", "method.k=5"]
    ticket: Any = load_config(ltsft.Config, overrides=[*phases, "training.save_every=20", "evaluation.every=10"])
    amounts = ltsft.workload.amounts(ticket, 1)
    # of the first phase one report with a checkpoint and a validation, of the second as above
    assert (amounts.steps, amounts.reports, amounts.validations, amounts.checkpoints) == (35, 4, 4, 3)
    short = ltsft.workload.shorten(ticket, 7, 2, 1)
    assert (short.training.steps, short.method.options.full_steps, short.training.report_every) == (5, 2, 3)
    assert ltsft.workload.amounts(short, 1).steps == 7
    once = load_config(ltsft.Config, overrides=["suite=planted", "method.kind=random", "training.steps=25"])
    assert ltsft.workload.shorten(once, 3, 1, 1).training.steps == ltsft.workload.amounts(once, 1).steps - 22
    levels = ["levels=[GoToObj,GoToRedBallGrey]", "training.frames=1001", "training.save_every=2"]
    agent = load_config(babyai.Config, overrides=[*levels, "evaluation.episodes=8", "training.goal=0.9"])
    expected = Amounts(steps=1100, reports=11, validations=0, checkpoints=6, scored=16)
    assert babyai.workload.amounts(agent, 100) == expected
    short = babyai.workload.shorten(agent, 300, 2, 1)
    assert (short.training.frames, short.ticket.frames, short.evaluation.episodes) == (300, 0, 1)
    assert babyai.workload.left_out(agent) == ("an earlier end at training.goal=0.9",)


class Config(Section):
    steps: int = 1000
    """Steps."""
    slow: bool = False
    """Whether the time is over after the second step."""


def run(config: Config, run: Run) -> Result:
    for step in range(1, config.steps + 1):
        if run.stop_requested or (config.slow and step > 1):
            raise Interrupted("The time is over.")
    run.report(config.steps, {"loss": 1.0})
    run.checkpoint(config.steps, lambda folder: (folder / "weights").write_bytes(bytes(9000)))
    return Result(metrics={})


WORK = Workload(
    amounts=lambda config, stride: Amounts(steps=config.steps, reports=2, validations=0, checkpoints=3, scored=1),
    shorten=lambda config, steps, events, scored: config.model_copy(update={"steps": steps}),
)
TIMED = Job(about="A test's job.", Config=Config, run=run, workload=WORK)


def test_a_measured_run_leaves_nothing_and_its_cost_travels_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(measuring, "BUDGET", 0.2)
    values: dict[str, Any] = json.loads(json.dumps(measure(TIMED, "fake", Config(), validates=False)))
    cost = cost_of(values)
    assert list(tmp_path.iterdir()) == []
    assert cost.files.checkpoint >= 12288 and cost.files.line > 10 and cost.stride == 1  # 9,000 bytes take 3 blocks
    assert 0 < cost.later.step < 1 and cost.memory > 1e7 and cost.amounts.checkpoints == 3
    slow = cost_of(measure(TIMED, "fake", Config(slow=True), validates=False))
    assert slow.later.end == slow.first.end and slow.files.checkpoint >= 12288


def test_a_job_that_fails_at_once_gives_its_reason() -> None:
    def fail(config: Config, run: Run) -> Result:
        raise FloatingPointError("The loss is nan.")

    answer = measure(Job(about="", Config=Config, run=fail, workload=WORK), "fake", Config(), validates=False)
    assert answer == {"problem": "The loss is nan."}
