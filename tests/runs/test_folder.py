"""The run folder: what a run leaves in it, and how it ends in `result.json`."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from polyray.config import Section
from polyray.errors import InputError
from polyray.runs import result
from polyray.runs.folder import RunFolder, job_of, new_run_folder, read_config
from polyray.runs.result import final_metrics, read_result, write_result


class Config(Section):
    steps: int = 3


def refuse(run: RunFolder, *made: Path) -> None:
    """A job that makes folders and then refuses its input."""
    with run.locked():
        for path in made:
            path.mkdir()
        raise InputError("nothing begins")


def folder(path: Path) -> RunFolder:
    return RunFolder(path=path, job="toy", config=Config(), address=None)


def test_a_run_that_cannot_begin_leaves_no_new_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(InputError, match="nothing begins"):
        refuse(folder(tmp_path / "runs" / "today" / "first"))
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_run_has_written_stays_when_it_cannot_go_on(tmp_path: Path) -> None:
    run = folder(tmp_path / "today" / "first")
    with pytest.raises(InputError):
        refuse(run, run.path / "skills")
    assert {entry.name for entry in run.path.iterdir()} == {"config.yaml", ".lock", "skills"}


def test_a_folder_with_a_second_run_stays_when_the_first_cannot_begin(tmp_path: Path) -> None:
    run = folder(tmp_path / "today" / "first")
    with pytest.raises(InputError):
        refuse(run, tmp_path / "today" / "second")
    assert [entry.name for entry in (tmp_path / "today").iterdir()] == ["second"]


def test_an_old_folder_stays_when_its_run_cannot_go_on(tmp_path: Path) -> None:
    run = folder(tmp_path / "first")
    with run.locked():
        pass
    with pytest.raises(InputError):
        refuse(run)
    assert (job_of(run.path), read_config(run.path)) == ("toy", {"steps": 3})


def test_a_run_is_resumed_with_its_config_its_folder_and_its_cluster(tmp_path: Path) -> None:
    run = RunFolder(path=tmp_path / "my run", job="toy", config=Config(), address="1.2.3.4:6379")
    assert run.resume_command == (
        f"polyray run toy --config '{tmp_path}/my run/config.yaml' --out '{tmp_path}/my run' --address 1.2.3.4:6379"
    )


def test_new_folders_have_names_of_their_own(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = new_run_folder("toy", tmp_path)
        path.mkdir()
        names.append(path.name)
    assert len(set(names)) == 3 and all(name.startswith("toy-") for name in names)


def test_seconds_of_all_starts_count_and_the_last_metrics_stand(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None and final_metrics(tmp_path) == {}
    assert not folder(tmp_path).is_done
    write_result(tmp_path, "toy", "interrupted", 1.2504, {})
    write_result(tmp_path, "toy", "done", 2.50049, {"mean": 0.5, "worst": float("nan")}, ["skills"])
    stored = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    versions = stored.pop("versions")
    assert stored == {
        "job": "toy", "status": "done", "metrics": {"mean": 0.5, "worst": None}, "skills": ["skills"], "seconds": 3.75,
    }  # fmt: skip
    assert {"polyray", "python", "torch"} <= versions.keys()
    assert final_metrics(tmp_path) == {"mean": 0.5, "worst": None} and folder(tmp_path).is_done


def test_versions_of_missing_libraries_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "ray":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(result, "version", version)
    numbers = result.versions()
    assert "ray" not in numbers and numbers["torch"] == numbers["transformers"] == "1.0"


def test_a_result_of_another_job_is_not_believed(tmp_path: Path) -> None:
    run = folder(tmp_path / "first")
    with run.locked():
        write_result(run.path, "other", "done", 1.0, {}, ())
    with pytest.raises(InputError, match=r"result\.json is of the job 'other', not 'toy'\. Delete it to go on"):
        _ = run.is_done


def test_a_result_that_is_no_json_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(InputError, match=r"result\.json.*Delete it"):
        read_result(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for read in (job_of, read_config):
        with pytest.raises(InputError, match="holds no run"):
            read(tmp_path)
    (tmp_path / "config.yaml").write_text("steps: 3\n")
    with pytest.raises(InputError, match="does not begin with '# job:'"):
        job_of(tmp_path)


class Elastic(Section):
    elastic = frozenset({"n"})
    n: int = 2


class Job(Section):
    workers: Elastic = Elastic()
    steps: int = 3


def resume(path: Path, n: int, steps: int = 3, refused: bool = False) -> list[str]:
    run = RunFolder(path=path, job="toy", config=Job(workers=Elastic(n=n), steps=steps), address=None)
    with run.locked() as changes:
        if refused:
            raise InputError("3 workers cannot share that")
        return changes


def test_a_run_may_go_on_with_other_workers_and_with_nothing_else_changed(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert resume(path, 2) == resume(path, 2) == []
    assert resume(path, 3) == ["workers.n = 2 there, 3 here"]
    assert resume(path, 3) == []  # it is the run's own number now
    with pytest.raises(InputError, match="steps = 3 there, 4 here") as caught:
        resume(path, 2, steps=4)
    assert "workers.n" not in str(caught.value)
    with pytest.raises(InputError, match="3 workers cannot"):
        resume(path, 1, refused=True)
    assert read_config(path) == {"workers": {"n": 3}, "steps": 3}
