"""A sweep whose processes are killed again and again, at random moments; what its folder says afterwards."""

import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from job_cases import TINY
from ray_cases import Run, actors_of, descendants, finish, gone

from polyray.formats import read_yaml
from polyray.runs.checkpoint import latest_checkpoint, step_of
from polyray.runs.run import CHECKPOINTS
from polyray.sweeps.folder import open_sweep
from polyray.sweeps.journal import TRIALS
from polyray.sweeps.options import searcher_of
from polyray.sweeps.trials import read_rows

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(5400)]
VICTIMS = ["worker"] * 4 + ["driver"] * 3 + ["both"] * 3
N_TRIALS, STEPS, SAVE_EVERY, REPORT_EVERY = 8, 24, 4, 2
SETTINGS = (
    *TINY, f"training.steps={STEPS}", f"training.report_every={REPORT_EVERY}", f"training.save_every={SAVE_EVERY}",
    "evaluation.max_examples=1", "sweep.searcher=random", f"sweep.trials={N_TRIALS}", "sweep.seed=3",
    f"sweep.retries={len(VICTIMS)}",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A sweep right after processes of it were killed.

    Attributes:
        journal: content of trials.jsonl.
        checkpoints: by the trial's folder, the step of its newest checkpoint.
        n_lines: by the trial's folder, lines of progress so far.
    """

    journal: bytes
    checkpoints: dict[str, int]
    n_lines: dict[str, int]


def start(out: Path) -> Run:
    return Run("sweep", "polytropon", "dual_speed", "--out", str(out), *SETTINGS)


def steps_of(folder: Path) -> list[int]:
    """The steps that a trial has reported in all its starts, in order."""
    file = folder / "progress.jsonl"
    return [json.loads(line)["step"] for line in file.read_text().splitlines()] if file.exists() else []


def n_lines(out: Path) -> int:
    files = (out / "trials").glob("*/progress.jsonl")
    return sum(file.read_bytes().count(b"\n") for file in files)


def moment(out: Path) -> Moment:
    folders = sorted(path for path in (out / "trials").iterdir() if path.is_dir())
    newest = {folder.name: latest_checkpoint(folder / CHECKPOINTS) for folder in folders}
    return Moment(
        journal=(out / TRIALS).read_bytes(),
        checkpoints={name: step_of(checkpoint) for name, checkpoint in newest.items() if checkpoint is not None},
        n_lines={folder.name: len(steps_of(folder)) for folder in folders},
    )


def kill(process: Run, victim: str, moments: random.Random) -> None:
    """Send SIGKILL to a worker that runs a trial, to the driver, or to both, in any order."""
    workers = actors_of(process, "ray::ImplicitFunc") if victim != "driver" else []
    children = descendants(process)
    assert workers or victim == "driver", "no worker was there to be killed"
    kills = [moments.choice(workers).kill] if workers else []
    kills += [lambda: process.send(signal.SIGKILL)] if victim != "worker" else []
    for send in moments.sample(kills, len(kills)):
        send()
    if victim != "worker":
        process.wait()
        assert gone(children), "processes were left running"


def test_after_ten_kills_every_trial_is_there_and_none_began_again_that_had_a_checkpoint(tmp_path: Path) -> None:
    out, moments = tmp_path / "sweep", random.Random(11)
    process, seen = start(out), list[Moment]()
    for victim in moments.sample(VICTIMS, len(VICTIMS)):
        due = n_lines(out) + moments.randint(1, 7)
        while n_lines(out) < due:
            assert process.poll() is None, f"the sweep ended after {len(seen)} kills: {finish(process)}"
            time.sleep(0.02)
        kill(process, victim, moments)
        seen.append(moment(out))
        if process.poll() is not None:
            process = start(out)
    assert "Traceback" not in finish(process)

    sweep = open_sweep(out)
    rows, searcher = read_rows(sweep), searcher_of(sweep.space, sweep.options)
    assert [(row.number, row.state) for row in rows] == [(number, "done") for number in range(N_TRIALS)]
    assert [row.fields for row in rows] == [searcher.ask(number, []) for number in range(N_TRIALS)]
    for row in rows:
        config = read_yaml(row.folders[0] / "config.yaml").resolved()
        assert isinstance(config, dict) and config["training"]["lr"] == row.fields["training.lr"]
    journal = (out / TRIALS).read_bytes()
    steps = {row.folders[0].name: steps_of(row.folders[0]) for row in rows}
    for number, earlier in enumerate(seen):
        assert journal.startswith(earlier.journal), number
        for name, step in earlier.checkpoints.items():
            later = steps[name][earlier.n_lines[name] :]
            assert all(other >= step for other in later), (number, name, step, later)
    assert_little_was_repeated(steps, [row.starts for row in rows])


def assert_little_was_repeated(steps: dict[str, list[int]], starts: list[int]) -> None:
    """Each start of a trial after its first repeats at most the lines since its newest checkpoint."""
    again = {name: sum(count - 1 for count in Counter(lines).values()) for name, lines in steps.items()}
    for (name, count), n_starts in zip(again.items(), starts, strict=True):
        assert count <= (n_starts - 1) * (SAVE_EVERY // REPORT_EVERY), (name, n_starts, steps[name])
        assert set(steps[name]) >= set(range(REPORT_EVERY, STEPS + 1, REPORT_EVERY)), name
    n_lines = sum(map(len, steps.values()))
    print(f"{len(VICTIMS)} kills, {sum(starts)} starts of {len(starts)} trials, {n_lines} lines, again: {again}")
