"""The rows of the table in docs/reliability.md: their cases, and how one is tried. The cases are those of the tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import crash_scenarios
import hostile_cases
from crash_cases import FAULTS, Disturbance, everything, of_finished, unbroken
from damaged_folders import write_runs, write_skills, wrong_after_resuming, wrong_after_verifying
from simulated_runs import wrong_with

Attempt = Callable[[str, Path], list[str]]
"""From the name of a case and an empty folder to what went wrong in it."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Something that is tried in many cases.

    Args:
        about: a noun phrase for the table.
        prepare: makes what its cases have in common in an empty folder; returns their names, and how to try one.
    """

    about: str
    prepare: Callable[[Path], tuple[Sequence[str], Attempt]]


def small(folder: Path) -> tuple[Sequence[str], Attempt]:
    """Crash points of a run that takes a tenth of a second, and writes all kinds of files."""
    return _crashes(crash_scenarios.small, folder, ("skills/a/card.json", "allocation.json"))


def language(folder: Path) -> tuple[Sequence[str], Attempt]:
    """Crash points of a training of skills on language tasks."""
    return _crashes(crash_scenarios.language, folder, ("skills/skill-0/card.json",))


def adaptation(folder: Path) -> tuple[Sequence[str], Attempt]:
    """Crash points of an adaptation of such skills."""
    unbroken(crash_scenarios.language, folder / "trained")
    return _crashes(crash_scenarios.adaptation(folder / "trained" / "skills"), folder, ("skills/*/card.json",))


def agents(folder: Path) -> tuple[Sequence[str], Attempt]:
    """Crash points of a training of an agent."""
    from crash_agents import LOSSES, agents  # noqa: PLC0415  # RLlib takes seconds

    return _crashes(agents, folder, LOSSES)


def _crashes(scenario: Callable[[Path], object], folder: Path, losses: Sequence[str]) -> tuple[Sequence[str], Attempt]:
    """Crash points of a run in a new folder, and over a finished one that lost these files."""
    unbroken(scenario, folder / "finished")
    starts: dict[str, Callable[[Path], object]] = {
        "new": lambda out: None, "again": of_finished(folder / "finished", *losses)
    }  # fmt: skip
    cases, expected = [], {}
    for phase, start in starts.items():
        (folder / phase).mkdir()
        undisturbed = Disturbance(scenario=scenario, folder=folder / phase, start=start)
        operations, expected[phase] = undisturbed.undisturbed()
        cases += [f"{phase} {number} {fault}" for number in range(1, operations + 1) for fault in FAULTS]
    faults = {str(fault): fault for fault in FAULTS}

    def attempt(case: str, out: Path) -> list[str]:
        phase, number, fault = case.split(maxsplit=2)
        disturbance = Disturbance(scenario=scenario, folder=out, start=starts[phase])
        return disturbance.at(int(number), faults[fault], expected[phase])

    return cases, attempt


def simulated_disk(folder: Path) -> tuple[Sequence[str], Attempt]:
    """Seeds of the simulated disk."""
    return [str(seed) for seed in range(2000)], lambda case, _: wrong_with(int(case))


def damages(folder: Path) -> tuple[Sequence[str], Attempt]:
    """Damages of finished and half-finished runs, which are resumed, and of skills, which are verified."""
    (folder / "runs").mkdir()
    (folder / "skills").mkdir()
    runs, libraries = write_runs(folder / "runs"), write_skills(folder / "skills")
    expected = everything(runs[0])
    damaged = {path.name: path for path in (*runs, *libraries)}

    def attempt(case: str, out: Path) -> list[str]:
        name, seed = case.split()
        if damaged[name] in runs:
            return wrong_after_resuming(damaged[name], expected, int(seed), out / "copy")
        return wrong_after_verifying(damaged[name], int(seed), out / "copy")

    return [f"{name} {seed}" for name in damaged for seed in range(20, 270)], attempt


def hostile_files(folder: Path) -> tuple[Sequence[str], Attempt]:
    """Hostile input files."""

    def attempt(case: str, _: Path) -> list[str]:
        wrong = hostile_cases.attempt(int(case))
        return [wrong] if wrong else []

    return [str(number) for number in range(600)], attempt


EXPERIMENTS: dict[str, Experiment] = {
    "small": Experiment(about="crash points of a small run that writes all kinds of files", prepare=small),
    "language": Experiment(about="crash points of a training of skills", prepare=language),
    "adaptation": Experiment(about="crash points of an adaptation", prepare=adaptation),
    "agents": Experiment(about="crash points of a training of an agent", prepare=agents),
    "simulated-disk": Experiment(about="seeds of a simulated disk", prepare=simulated_disk),
    "damages": Experiment(about="damaged folders", prepare=damages),
    "hostile-files": Experiment(about="hostile input files", prepare=hostile_files),
}
