"""The benchmark of reliability keeps outcomes, with what a failing process wrote, and goes on where it was killed."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from crash_cases import Disturbance
from fork_cases import in_child
from gathering import for_each

from benchmarks.reliability import trying
from benchmarks.reliability.__main__ import main, table
from benchmarks.reliability.experiments import EXPERIMENTS, Attempt, Experiment
from benchmarks.reliability.trying import Outcomes, spread, try_cases
from polyray.files import write_file

CASES = tuple(str(number) for number in range(10))


class Toy:
    """An experiment of ten cases, of which number 7 goes wrong; the tried ones are lines of a file."""

    def __init__(self, folder: Path) -> None:
        self.journal, self.outcomes, self.killed = folder / "journal", Outcomes(folder / "toy.jsonl"), ""

    def prepare(self, folder: Path) -> tuple[Sequence[str], Attempt]:
        """The names of the cases, and how to try one."""
        assert not list(folder.iterdir())
        return CASES, self.attempt

    def attempt(self, case: str, folder: Path) -> list[str]:
        """Note that the case is tried; at one of them the benchmark itself is killed."""
        assert folder.is_dir()
        with self.journal.open("a") as stream:
            stream.write(f"{case}\n")
        if case == self.killed:
            os.kill(os.getppid(), signal.SIGKILL)
            while os.getppid() == self.parent:
                continue
        return ["7: odd"] if case == "7" else []

    def run(self, sample: int | None = None, jobs: int = 1) -> None:
        """Try the cases."""
        self.parent = os.getpid()
        try_cases(Experiment(about="toys", prepare=self.prepare), self.outcomes, sample, jobs)

    @property
    def tried(self) -> list[str]:
        """The cases that were tried, in their order."""
        return self.journal.read_text().split()


def test_a_killed_benchmark_goes_on_and_its_processes_end_with_it(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    toy.killed = spread(CASES)[3]
    assert os.waitpid(in_child(toy.run), 0)[1] == signal.SIGKILL
    while len(toy.outcomes.wrong) < 4:  # the case at which it was killed is noted, and no other begun
        continue
    assert toy.tried == spread(CASES)[:4]
    toy.run(sample=6, jobs=2)
    assert sorted(toy.tried) == sorted(spread(CASES)[:6])
    toy.run()
    toy.run()
    assert sorted(toy.tried) == sorted(CASES)
    assert toy.outcomes.n_cases == 10 and toy.outcomes.wrong == {**{case: [] for case in CASES}, "7": ["7: odd"]}


def test_outcomes_of_other_versions_and_torn_lines_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Toy(tmp_path)
    toy.run(sample=5)
    content = toy.outcomes.file.read_bytes()
    toy.outcomes.file.write_bytes(content[:-9])  # the machine stopped in the middle of a line
    assert len(toy.outcomes.wrong) == 4
    toy.run(sample=5)
    assert len(toy.outcomes.wrong) == 5 and len(toy.tried) == 6
    monkeypatch.setattr(trying, "version", lambda: "another")
    assert toy.outcomes.wrong == {} and toy.outcomes.n_cases == 0


def test_the_table_counts_cases_tried_ones_and_wrong_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy = Toy(tmp_path)
    monkeypatch.setitem(EXPERIMENTS, "toy", Experiment(about="toys", prepare=toy.prepare))
    toy.parent = os.getpid()
    assert main(["toy", "--out", str(tmp_path)]) == 1
    assert "| toys | 10 | 10 | 1 |" in capsys.readouterr().out
    assert main(["simulated-disk", "--table", "--out", str(tmp_path)]) == 0
    assert table(tmp_path, ["simulated-disk"])[2] == "| seeds of a simulated disk |  | 0 | 0 |"
    with pytest.raises(SystemExit):
        main(["toys"])


@for_each(jobs=[1, 3, 7])
def test_the_first_cases_are_spread_over_all(jobs: int) -> None:
    first = sorted(map(int, spread([str(number) for number in range(210)])[: 30 * jobs]))
    gaps = [after - before for before, after in zip([-1, *first], [*first, 210], strict=True)]
    assert max(gaps) <= 3 * 210 / (30 * jobs) + 1 and len(set(first)) == 30 * jobs


def test_a_run_that_fails_when_it_is_resumed_is_reported_with_its_traceback(tmp_path: Path) -> None:
    def never_again(out: Path) -> None:
        if out.is_dir():
            print("a warning before it", file=sys.stderr)
            raise LookupError("of the second start")
        out.mkdir()
        write_file(out / "result.json", "1")

    failing = Disturbance(scenario=never_again, folder=tmp_path, start=lambda out: None)
    (line,) = failing.at(2, "SIGKILL", {})
    assert line.startswith("SIGKILL at operation 2: the resumed run ended with 1\na warning before it\n")
    assert "Traceback" in line and line.endswith("LookupError: of the second start\n")
