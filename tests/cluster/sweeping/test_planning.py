"""Sweeps that cannot work: exit code 2, one message, nothing written."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from toy_sweep import toy_sweep

from polyray.cli.app import main
from polyray.cluster.sweeping.planning import plan
from polyray.cluster.sweeping.schedulers import MAKERS
from polyray.errors import InputError
from polyray.jobs.table import JOBS
from polyray.sweeps.options import read_options
from polyray.sweeps.schedulers import SCHEDULERS
from polyray.tune_spaces.loading import find_space, load_space

GRID = "about: a grid\ngoal: mean\nfields:\n  training.lr: {uniform: [0.1, 0.2]}\n"
VALIDATED = ("evaluation.every=5", "tasks.train_splits=[train]")
REFUSED = {  # arguments behind `polyray sweep` -> what the message says
    ("polytropn", "dual_speed"): "No job is called 'polytropn'. Did you mean 'polytropon'?",
    ("polytropon", "dual_sped"): "No space is called 'dual_sped'. Did you mean 'dual_speed'?",
    ("babyai", "dual_speed"): "The space dual_speed is for the job polytropon, not for babyai.",
    ("polytropon", "SPACE", "--trials", "0"): "sweep.trials = 0 (command line, 'sweep.trials=0')",
    ("polytropon", "SPACE", "sweep.searcher=tp"): "No searcher is called 'tp'. Did you mean 'tpe'?",
    ("polytropon", "SPACE", "sweep.scheduler=ash"): "No scheduler is called 'ash'. Did you mean 'asha'?",
    ("polytropon", "SPACE", "sweep.searcher=grid"): "cannot list the values of training.lr",
    ("polytropon", "SPACE", "sweep.goal=men", "sweep.mode=max"): "no metric 'men' to judge by. Did you mean 'mean'?",
    ("polytropon", "SPACE", "sweep.goal=mean"): "the goal mean needs a mode",
    ("polytropon", "SPACE", "sweep.scheduler=asha"): "needs a validation while the job trains: set evaluation.every",
    ("polytropon", "SPACE", "trainin.steps=3"): "No field is called 'trainin.steps'",
    ("polytropon", "SPACE", "--config", "nowhere.yaml"): "nowhere.yaml",
    ("polytropon", "TYPO"): "typo.yaml:4: the job polytropon has no field 'training.lrr'. Did you mean 'training.lr'?",
    ("polytropon", "routing", "sweep.scheduler=pbt", *VALIDATED): "cannot change then. Fields that can: training.lr",
    ("adapt", "few_shot"): "adapt needs skills=FOLDER",
    ("polytropon", "SPACE", "suite=jsonl"): "tasks.path",
    ("adapt", "few_shot", "sweep.scheduler=pbt"): "no validation while it trains",
    ("evaluate", "EVALUATION", "sweep.repeats=2"): "the job evaluate has no seed that differs between repeats",
    ("evaluate", "EVALUATION", "sweep.scheduler=asha"): "the job evaluate has no validation while it trains",
}


def test_what_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "SPACE": ("space.yaml", GRID),
        "TYPO": ("typo.yaml", GRID.replace("training.lr", "training.lrr")),
        "EVALUATION": ("evaluation.yaml", "about: x\ngoal: mean\nfields:\n  evaluation.beams: {grid: [1, 2]}\n"),
    }
    for name, text in files.values():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    wrong = []
    for arguments, message in REFUSED.items():
        typed = [files[argument][0] if argument in files else argument for argument in arguments]
        with pytest.raises(SystemExit) as end:
            main(["sweep", *typed])
        printed = capsys.readouterr()
        if end.value.code != 2 or message not in printed.err or printed.err.count("polyray:") != 1 or printed.out:
            wrong.append(f"{arguments}: {end.value.code} {printed.err}{printed.out}")
    assert not wrong, "\n".join(wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(name for name, _ in files.values())


def test_what_a_url_cannot_do_is_refused(tmp_path: Path) -> None:
    """A population's trials take over each other's files; a scheduler reads those of workers while they write."""
    name, job = "dual_speed", JOBS["polytropon"]
    for more, message in (
        (["sweep.scheduler=pb2"], "pb2 lets trials take over each other's files, and needs a folder that all nodes sh"),
        (["sweep.scheduler=asha", "workers.n=2"], "asha follows trials by files, which of trials with several workers"),
        (["sweep.scheduler=asha"], ""),
        (["sweep.scheduler=none", "workers.n=2"], ""),
    ):
        options, for_job = read_options(find_space(name), ["sweep.searcher=random", *more])
        space = load_space(name, "polytropon", job.Config, None, for_job)
        with pytest.raises(InputError, match=message) if message else nullcontext():
            plan(
                tmp_path, "polytropon", job, name, space, options, file=None, overrides=space.overrides(for_job),
                url="s3://bucket/sweep",
            )  # fmt: skip


def test_every_scheduler_is_made() -> None:
    assert MAKERS.keys() == SCHEDULERS.keys()


def test_a_sweep_that_is_refused_at_its_start_leaves_nothing(tmp_path: Path) -> None:
    sweep = toy_sweep(tmp_path / "deep" / "sweep")
    with pytest.raises(InputError, match="no cluster"), sweep.locked():
        raise InputError("There is no cluster.")
    assert list(tmp_path.iterdir()) == []
