"""Independent pieces of work on Ray: results as they come, pieces done again, errors by who can put them right."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.exceptions import RayTaskError, WorkerCrashedError

from polyray.cluster.session import RaySession
from polyray.cluster.tasks import run_pieces, run_tasks
from polyray.errors import InputError, Interrupted, RunError
from polyray.runs.run import Run
from polyray.runs.store.working import working_copy

pytestmark = pytest.mark.usefixtures("usual_signals")


class FakeTasks:
    """Ray's tasks in this process: each runs when its result is asked for, the last one first.

    options: of `ray.remote`. cancelled: numbers of the tasks that were given up. crash: a task whose worker dies for
    good. n_idle_looks: how often nothing is done when somebody looks.
    """

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.calls: list[Callable[[], Any]] = []
        self.cancelled: list[int] = []
        self.crash: int | None = None
        self.n_idle_looks = 0
        self.function: Callable[..., Any] = dict

    def submit(self, *arguments: Any) -> int:
        self.calls.append(lambda: self.function(*arguments))
        return len(self.calls) - 1

    def wait(self, references: Sequence[int], num_returns: int, timeout: float) -> tuple[list[int], list[int]]:
        assert num_returns == 1
        if self.n_idle_looks:  # nothing is done yet
            self.n_idle_looks -= 1
            return [], list(references)
        return [references[-1]], list(references[:-1])

    def get(self, reference: int) -> Any:
        if reference == self.crash:
            raise WorkerCrashedError
        try:
            return self.calls[reference]()
        except ZeroDivisionError as error:
            raise RayTaskError("work", "Traceback: bad luck", error) from None


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> FakeTasks:
    fake = FakeTasks()

    class Remote:
        """Stands for the result of `ray.remote(...)(function)`."""

        remote = staticmethod(fake.submit)

    def remote(**options: Any) -> Callable[[Callable[..., Any]], type[Remote]]:
        fake.options = options

        def wrap(function: Callable[..., Any]) -> type[Remote]:
            fake.function = function
            return Remote

        return wrap

    monkeypatch.setattr(ray, "remote", remote)
    monkeypatch.setattr(ray, "wait", fake.wait)
    monkeypatch.setattr(ray, "get", fake.get)
    monkeypatch.setattr(ray, "cancel", fake.cancelled.append)
    return fake


def square(number: int) -> dict[str, Any]:
    if number == 13:
        raise InputError("13 is not a number.")
    return {"square": number**2 if 1 / number else 0}


def test_every_piece_gives_its_own_result_as_it_is_done(tasks: FakeTasks) -> None:
    results = list(run_tasks(square, [3, 1, 2], cpus=2, gpus=0.5))
    assert results == [(2, {"square": 4}), (1, {"square": 1}), (0, {"square": 9})]
    assert tasks.options == {"num_cpus": 2, "num_gpus": 0.5, "max_retries": 3}
    assert tasks.cancelled == [] == list(run_tasks(square, []))


@dataclass(frozen=True)
class Note:
    """A piece that writes its text into a file."""

    out: Path
    text: str

    def moved(self, out: Path) -> "Note":
        return replace(self, out=out)


def write_note(note: Note) -> dict[str, Any]:
    (note.out / "notes").mkdir()
    (note.out / "notes" / note.text).write_text(note.text)
    return {"folder": str(note.out)}


def test_files_of_pieces_come_with_their_results_where_nodes_share_no_disk(tasks: FakeTasks) -> None:
    with working_copy("memory://tasks/run", print) as copy:
        notes = [Note(out=copy.folder / "inner", text=text) for text in ("a", "b")]
        results = dict(run_pieces(write_note, notes, Run(copy.folder, store=copy)))
        assert [(copy.folder / "inner" / "notes" / text).read_text() for text in ("a", "b")] == ["a", "b"]
        assert set(copy.part.paths) == {"inner/notes/a", "inner/notes/b"}
    assert str(copy.folder) not in {results[index]["folder"] for index in (0, 1)}
    assert tasks.options["max_retries"] == 3


@dataclass(frozen=True)
class Copied:
    """A piece that writes what it reads in the folder `source`, which moves with it, in capitals, and a checkpoint."""

    out: Path
    source: Path

    def moved(self, out: Path) -> "Copied":
        return Copied(out, out / self.source.relative_to(self.out))


def copy_note(piece: Copied) -> dict[str, Any]:
    (piece.out / "checkpoints").mkdir()
    (piece.out / "checkpoints" / "state").write_text("large")
    text = (piece.source / "deep" / "note").read_text().upper()
    (piece.out / "capitals").mkdir()
    (piece.out / "capitals" / piece.source.name).write_text(text)
    return {"source": str(piece.source)}


def test_folders_that_pieces_read_go_along_with_them_once(tasks: FakeTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[Any] = []

    def put(content: Any) -> str:
        stored.append(content)
        return f"stored {len(stored) - 1}"

    of_task = tasks.get
    monkeypatch.setattr(ray, "put", put)
    monkeypatch.setattr(ray, "get", lambda x: stored[int(x.split()[1])] if isinstance(x, str) else of_task(x))
    with working_copy("memory://tasks/copies", print) as copy:
        sources = [copy.folder / name for name in ("a", "b", "a")]
        for source in sources[:2]:
            (source / "deep").mkdir(parents=True)
            (source / "deep" / "note").write_text(source.name)
        pieces = [Copied(copy.folder, source) for source in sources]
        results = dict(run_pieces(copy_note, pieces, Run(copy.folder, store=copy), reads=lambda piece: [piece.source]))
        assert len(stored) == 2 and len(results) == 3
        assert not any(str(copy.folder) in result["source"] for result in results.values())
        assert (copy.folder / "capitals" / "b").read_text() == "B"
        assert set(copy.part.paths) == {"a/deep/note", "b/deep/note", "capitals/a", "capitals/b"}


def test_a_mistake_of_the_user_ends_all_pieces_with_its_message(tasks: FakeTasks) -> None:
    results = run_tasks(square, [3, 13, 2])
    assert next(results) == (2, {"square": 4})
    with pytest.raises(InputError, match=r"^13 is not a number\.$"):
        next(results)
    assert tasks.cancelled == [0]


@pytest.mark.parametrize(("crash", "message"), [(None, "A task failed: .*bad luck"), (1, "A task failed: .*died")])
def test_a_piece_that_fails_ends_all_with_the_workers_message(
    crash: int | None, message: str, tasks: FakeTasks
) -> None:
    tasks.crash = crash
    with pytest.raises(RunError, match=r"(?s)" + message):
        list(run_tasks(square, [3, 0]))
    assert tasks.cancelled == [0]


def test_pieces_that_nobody_waits_for_are_given_up(tasks: FakeTasks) -> None:
    results = run_tasks(square, [1, 2, 3])
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert tasks.cancelled == [0, 1]


def test_a_wish_to_stop_gives_up_what_is_not_done_also_while_nothing_is_done(tasks: FakeTasks) -> None:
    looks: list[bool] = []

    def stop() -> bool:
        looks.append(True)
        return len(looks) == 5

    results = run_tasks(square, [1, 2, 3], stop=stop)
    assert next(results) == (2, {"square": 9})
    tasks.n_idle_looks = 10
    with pytest.raises(Interrupted, match="2 of 3 pieces"):
        next(results)
    assert tasks.cancelled == [0, 1]


def test_a_piece_is_done_in_the_drivers_folder_with_one_thread(
    tasks: FakeTasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.chdir(tmp_path)
    results = run_tasks(lambda piece: {"folder": os.getcwd()}, [1, 2])
    first = next(results)
    os.chdir("/")  # as a worker begins somewhere else
    assert [first, next(results)] == [(1, {"folder": str(tmp_path)}), (0, {"folder": str(tmp_path)})]
    assert threads == [1, 1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, RaySession(None, tmp_path_factory.mktemp("logs")) as opened:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # its workers import this file
        opened.start()
        yield


def dies_once(trace: str) -> dict[str, Any]:
    """Kills its own process when it is called first."""
    if not os.path.exists(trace):
        Path(trace).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"again": True}


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_piece_whose_worker_died_is_done_again(cluster: None, tmp_path: Path) -> None:
    assert list(run_tasks(dies_once, [str(tmp_path / "trace")])) == [(0, {"again": True})]
