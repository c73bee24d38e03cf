"""Damaged folders: each damage is mended from a checkpoint, refused with one message, or without effect."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from crash_cases import FailingDisk, everything
from crash_scenarios import small
from damage_cases import damage
from policy_cases import WORDS, policy_of
from training_cases import KNOWN, SUITE, spec, tiny_model

from polyray.errors import InputError, RunError
from polyray.files.disk import using
from polyray.rl.policy_folder import save_policy
from polyray.skills.inventory import Provenance, save_inventory
from polyray.skills.library import verify
from polyray.training.multitask import backbone_card

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished small run, and one whose disk failed after two of three checkpoints."""
    folder = tmp_path_factory.mktemp("runs")
    small(folder / "finished")
    with using(FailingDisk(75, "EIO", folder / "journal")), pytest.raises(RunError, match="The disk reports a fault"):
        small(folder / "half")
    assert len(list((folder / "half" / "checkpoints").glob("step-*"))) == 2
    return folder / "finished", folder / "half"


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Skills of a language model with a trained backbone, and of an agent."""
    folder = tmp_path_factory.mktemp("skills")
    model = tiny_model("tiny-encoder", [SUITE.tasks[name] for name in KNOWN])
    model.network.requires_grad_(True)
    provenance = Provenance(backbone=backbone_card(model.backbone), suite="toy", tasks=KNOWN, data={}, seed=0)
    save_inventory(folder / "language", model, spec(), provenance, {})
    save_policy(folder / "agent", policy_of("dense", "polytropon"), WORDS)
    return folder / "language", folder / "agent"


def wrong_after_resuming(run: Path, expected: dict[str, bytes], seed: int, copy: Path) -> list[str]:
    """Faults that a start over a damaged copy of `run` leaves; a refusal is right."""
    shutil.copytree(run, copy)
    done = damage(copy, seed)
    try:
        small(copy)
        changed = [name for name, content in everything(copy).items() if content != expected.get(name)]
        wrong = [f"{done}: {changed[0]} differs"] if changed or everything(copy).keys() != expected.keys() else []
    except InputError:
        wrong = []
    except (RunError, OSError, ValueError, LookupError, TypeError) as error:
        wrong = [f"{done}: {type(error).__name__}: {error}"]
    shutil.rmtree(copy)
    return wrong


def wrong_after_verifying(library: Path, seed: int, copy: Path) -> list[str]:
    """The damage that `verify` does not see, if it is one."""
    shutil.copytree(library, copy)
    done = damage(copy, seed)
    changed = any(
        file.is_file() and not same_bytes(file, copy / file.relative_to(library)) for file in library.rglob("*")
    )
    same = contents(copy) == contents(library)  # JSON may be laid out otherwise
    try:
        verify(copy)
        wrong = [] if same else [f"{done} was not seen"]
    except InputError as error:
        wrong = [f"{done} is none: {error}"] if not changed else []
    shutil.rmtree(copy)
    return wrong


def same_bytes(first: Path, second: Path) -> bool:
    """Whether both files are there and equal."""
    return second.is_file() and first.read_bytes() == second.read_bytes()


def contents(folder: Path) -> dict[str, Any]:
    """Content of the files below `folder`: JSON as values, everything else as bytes."""
    values: dict[str, Any] = {}
    for file in folder.rglob("*"):
        if file.is_file():
            values[str(file.relative_to(folder))] = file.read_bytes()
            if file.suffix == ".json":
                try:
                    values[str(file.relative_to(folder))] = json.loads(file.read_bytes())
                except ValueError:
                    continue
    return values


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
