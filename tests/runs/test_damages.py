"""Damaged folders: each damage is mended from a checkpoint, refused with one message, or without effect."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from crash_cases import everything
from damaged_folders import write_runs, write_skills, wrong_after_resuming, wrong_after_verifying

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished small run, and one whose disk failed after two of three checkpoints."""
    return write_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Skills of a language model with a trained backbone, and of an agent."""
    return write_skills(tmp_path_factory.mktemp("skills"))


def check(record: Record, runs: Sequence[Path], libraries: Sequence[Path], seeds: range, copy: Path) -> None:
    """No damage goes unseen; the figures are those of docs/reliability.md."""
    expected = everything(runs[0])
    wrong = [line for run in runs for seed in seeds for line in wrong_after_resuming(run, expected, seed, copy)]
    wrong += [line for library in libraries for seed in seeds for line in wrong_after_verifying(library, seed, copy)]
    record("damages", len(seeds) * (len(runs) + len(libraries)))
    record("damages that went wrong", len(wrong))
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong[:40])


def test_damaged_folders_are_mended_or_refused(
    record_property: Record, runs: tuple[Path, Path], skills: tuple[Path, Path], tmp_path: Path
) -> None:
    check(record_property, runs, skills, range(6), tmp_path / "copy")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_1000_damaged_folders_are_mended_or_refused(
    record_property: Record, runs: tuple[Path, Path], skills: tuple[Path, Path], tmp_path: Path
) -> None:
    check(record_property, runs, skills, range(20, 270), tmp_path / "copy")
