"""The folder of a sweep: what it holds, when it is refused, and what a process that died leaves of it."""

import random
from pathlib import Path

import pytest
from simulated_disk import SimulatedDisk
from toy_sweep import SPACE, toy_sweep

from polyray.errors import InputError
from polyray.files.disk import Point, using
from polyray.runs.locking import FolderInUseError
from polyray.sweeps.fields import LogUniform
from polyray.sweeps.folder import is_sweep, open_sweep
from polyray.sweeps.goals import value_along, value_at, value_of
from polyray.sweeps.journal import Entry, append_entry, as_text, from_text, mend_entries, read_entries
from polyray.sweeps.space import Goal, Space


def test_a_sweep_is_read_as_it_was_written(tmp_path: Path) -> None:
    sweep = toy_sweep(tmp_path / "deep" / "sweep", "steps=3", repeats=2, scheduler="asha", grace=2)
    assert not is_sweep(sweep.path)
    with sweep.locked():
        assert open_sweep(sweep.path).is_busy
        with pytest.raises(FolderInUseError, match="Another process"):
            sweep.locked().__enter__()
    assert open_sweep(sweep.path) == sweep and is_sweep(sweep.path) and not sweep.is_busy
    assert [folder.name for folder in sweep.folders(7)] == ["0007-0", "0007-1"]
    assert sweep.seeds({"seed": 5}) == (5, 6) and sweep.seeds({}) == (0, 1)
    assert [folder.name for folder in toy_sweep(tmp_path).folders(12345)] == ["12345"]


def test_another_sweep_is_refused_with_the_lines_that_differ(tmp_path: Path) -> None:
    with toy_sweep(tmp_path, "steps=3").locked():
        pass
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    space = Space(about="toy", job="toy", goal=Goal("mean"), searcher="random", fields={"lr": LogUniform(1e-2, 1.0)})
    cases = {
        r"overrides = \['steps=3'\] there, \['steps=4'\] here": toy_sweep(tmp_path, "steps=4"),
        r"sweep.seed = 0 there, 1 here": toy_sweep(tmp_path, "steps=3", seed=1),
        r"space.yaml:\d+ = .*0.001.* there, .*0.01.* here": toy_sweep(tmp_path, "steps=3", space=space),
    }
    for message, sweep in cases.items():
        with pytest.raises(InputError, match=message) as caught, sweep.locked():
            pass
        assert "trials" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    with toy_sweep(tmp_path, "steps=3", trials=5, concurrent=1, seconds=9).locked():
        assert open_sweep(tmp_path).options.trials == 5


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("words")
    for path in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match="Choose another --out"), toy_sweep(path).locked():
            pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "config.yaml").write_text("# job: fake\nsteps: 3\n")
    with pytest.raises(InputError, match="holds no sweep"), toy_sweep(tmp_path).locked():
        pass


def test_a_configuration_is_on_the_disk_before_its_trial_begins() -> None:
    entries = [Entry(number=0, fields={"lr": 0.1, "way": ("a", "b")}), Entry(number=1, fields={"n": 3}, donor=0)]
    disk = SimulatedDisk(random.Random(0), last=10**9)
    with using(disk):
        sweep = Path("/sweep")
        disk.make_folder(Point.FOLDER_MADE, sweep)
        disk.sync(Point.NAME_SYNCED, sweep.parent)
        for entry in entries:
            append_entry(sweep, entry)
            disk.crash()
            mend_entries(sweep)
        assert read_entries(sweep) == entries and read_entries(sweep, after=1) == entries[1:]
    assert from_text(as_text(entries[:1])) == entries[:1]


def test_a_line_that_was_cut_short_is_no_trial_and_one_that_was_altered_is_refused(tmp_path: Path) -> None:
    append_entry(tmp_path, Entry(number=0, fields={"lr": 0.1}))
    file = tmp_path / "trials.jsonl"
    with file.open("a") as stream:
        stream.write('{"number": 1, "fie')
    assert len(read_entries(tmp_path)) == 1
    mend_entries(tmp_path)
    append_entry(tmp_path, Entry(number=1, fields={"lr": 0.2}))
    assert [entry.fields["lr"] for entry in read_entries(tmp_path)] == [0.1, 0.2]
    file.write_text(file.read_text().replace('"number":1', '"number":2'))
    with pytest.raises(InputError, match=r"trials.jsonl:2 is not the trial 1"):
        read_entries(tmp_path)


def test_goals_are_found_by_their_dotted_names_at_the_end_and_on_the_way() -> None:
    metrics = {"mean": 0.5, "tasks": {"a.b": {"acc": 1}, "a": {"b": {"x": 2}}}, "bad": float("nan"), "on": True}
    names = {"mean": 0.5, "tasks.a.b.acc": 1.0, "tasks.a.b.x": 2.0, "bad": None, "on": None, "tasks": None, "z": None}
    assert {name: value_at(metrics, name) for name in names} == names
    line = {"loss": 2.0, "validation": {"score": 0.25, "loss": 1.5}}
    assert [value_along(line, goal) for goal in (Goal("mean"), Goal("x", "min"), Goal("loss", "min"))] == [0.25, 1.5, 2]
    assert value_along({"loss": 2.0}, SPACE.goal) is None
    result = {"seconds": 3.5, "metrics": {"mean": 0.5, "parameters": {"skills": 40, "routing": 2}}}
    goals = (Goal("seconds", "min"), Goal("parameters", "min"), Goal("mean"), Goal("parameters.skills", "min"))
    assert [value_of(result, goal) for goal in goals] == [3.5, 42.0, 0.5, 40.0]
