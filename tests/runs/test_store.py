"""A store's states are whole, whatever operation of whichever process is its last, and one process writes at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_cases import (
    DeadError,
    Files,
    Objects,
    at,
    content,
    fill,
    killed,
    killed_within,
    names,
    new_part,
    refused_once,
)

from polyray.errors import StorageError
from polyray.runs.locking import FolderInUseError
from polyray.runs.store import transfers
from polyray.runs.store.lease import Timing
from polyray.runs.store.part import Part

LIVELY = Timing(beat=0.01, patience=0.1)
Fault = Callable[[Objects, str, bytes], None]

STATES: tuple[Files, ...] = (
    {"config.yaml": "a", "checkpoints/step-1/state.json": "1", "metrics.jsonl": "line\n"},
    {"config.yaml": "a", "checkpoints/step-1/state.json": "1", "checkpoints/step-2/state.json": "2" * 50,
     "metrics.jsonl": "line\nline\n"},
    {"config.yaml": "a", "checkpoints/step-2/state.json": "2" * 50, "metrics.jsonl": "line\nline\nline\n",
     "result.json": "done", "empty.txt": ""},
)  # fmt: skip


@pytest.fixture(autouse=True)
def large_from_40_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of more than a few bytes travel as large ones."""
    monkeypatch.setattr(transfers, "WHOLE", 40)


def run(objects: Objects, home: Path, states: list[int]) -> None:
    """One start of a run: it restores, publishes the states that are not there, each added to `states`, and ends."""
    mine = new_part(objects, home)
    mine.open()
    try:
        before = content(mine.folder)
        for number in range(STATES.index(before) + 1 if before else 0, len(STATES)):
            fill(mine.folder, STATES[number])
            mine.publish()
            states.append(number)
    finally:
        mine.close()


def seen(objects: Objects, home: Path) -> int:
    """The number of the state that a reader sees; -1: none."""
    reader = new_part(objects.view(), home)
    return STATES.index(content(reader.folder)) if reader.restore() else -1


def leftovers(objects: Objects, home: Path) -> list[str]:
    """Objects that the newest state does not need."""
    reader = new_part(objects.view(), home)
    reader.restore()
    needed = {f"files/{file.object}" for file in reader._manifest.files.values()} | {reader.state}
    return [name for name in names(objects) if name not in needed]


def after(fault: Fault, number: int, home: Path) -> Iterator[str]:
    """Violations by a run whose operation `number` has the fault, and by the run that resumes it."""
    objects, acknowledged = Objects(), list[int]()
    try:
        run(objects.view(fault, number), home, acknowledged)
    except DeadError:
        state, last = seen(objects, home), max(acknowledged, default=-1)
        if state not in (last, last + 1):
            yield f"{fault.__name__} at operation {number}: state {state} after {last} was acknowledged"
    run(objects.view(), home, [])
    state, rest = seen(objects, home), leftovers(objects, home)
    if state != len(STATES) - 1 or rest:
        yield f"{fault.__name__} at operation {number}: then state {state}, and {rest} are left"


def test_a_run_killed_at_any_operation_goes_on_from_the_last_state_or_the_one_after(tmp_path: Path) -> None:
    counting = Objects()
    run(counting, tmp_path, [])
    writes = [number for number, is_write in enumerate(counting.writes, start=1) if is_write]
    faults = [(killed, number) for number in range(1, counting.count + 1)] + [(killed_within, n) for n in writes]
    wrong = [line for fault, number in faults for line in after(fault, number, tmp_path)]
    assert not wrong, "\n".join(wrong)
    assert len(faults) > 40


def test_an_operation_that_fails_once_is_tried_again(tmp_path: Path) -> None:
    counting = Objects()
    run(counting, tmp_path, [])
    for number in range(1, counting.count + 1):
        objects, states = Objects(), list[int]()
        run(objects.view(refused_once, number), tmp_path, states)
        assert (states, leftovers(objects, tmp_path)) == ([0, 1, 2], []), number


def taken_over_at(number: int, home: Path) -> str:
    """Violation where another process takes over before operation `number` of a publication that goes on."""
    objects = Objects()
    old = new_part(objects.view(), home)
    old.open()
    fill(old.folder, STATES[0])
    old.publish()
    taken: list[Part] = []

    def take_over(view: Objects, path: str, value: bytes) -> None:
        new = new_part(objects.view(), home)
        taken.append(new)
        new.open()
        fill(new.folder, STATES[2])
        new.publish()

    slow = objects.view(take_over, number)
    old.remote = old._lease._remote = at(slow)  # type: ignore[union-attr]  # its process goes on slowly
    fill(old.folder, STATES[1])
    refused = ""
    try:
        for turn in range(3):
            old.publish()
            fill(old.folder, STATES[turn % 2])
    except StorageError as error:
        refused = str(error)
    old.close()
    state = seen(objects, home)
    for new in taken:
        new.close()
    return "" if "taken over" in refused and state == 2 else f"operation {number}: state {state}, {refused!r}"


def test_a_writer_that_was_cut_off_changes_nothing_of_its_successors_state(tmp_path: Path) -> None:
    wrong = [line for number in range(1, 13) if (line := taken_over_at(number, tmp_path))]
    assert not wrong, "\n".join(wrong)


def test_a_start_after_a_whole_end_publishes_nothing_anew(tmp_path: Path) -> None:
    objects = Objects()
    run(objects.view(), tmp_path, [])
    before = {name for name in names(objects) if name.startswith("files/")}
    again = new_part(objects.view(), tmp_path)
    again.open()
    assert {name for name in names(objects) if name.startswith("files/")} == before != set()
    again.close()


def test_of_two_that_begin_at_once_at_most_one_writes(tmp_path: Path) -> None:
    winners = []
    for number in range(1, 8):
        objects, opened = Objects(), list[Part]()

        def begin(view: Objects, path: str, value: bytes, number: int = number) -> None:
            other = new_part(objects.view(), tmp_path, timing=LIVELY)  # noqa: B023  # called at once
            try:
                other.open()
                opened.append(other)  # noqa: B023
            except FolderInUseError:
                return

        first = new_part(objects.view(begin, number), tmp_path, timing=LIVELY)
        try:
            first.open()
            first._lease.check()  # type: ignore[union-attr]
            opened.append(first)
        except (FolderInUseError, StorageError):
            pass
        winners.append(len(opened))
        for one in opened:
            one.close()
    assert winners == [1] * len(winners)
