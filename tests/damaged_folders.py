"""Runs and skills that are damaged, and what is wrong with what becomes of them."""

import json
import shutil
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


def write_runs(folder: Path) -> tuple[Path, Path]:
    """A finished small run in `folder`, and one whose disk failed after two of three checkpoints."""
    small(folder / "finished")
    with using(FailingDisk(75, "EIO", folder / "journal")), pytest.raises(RunError, match="The disk reports a fault"):
        small(folder / "half")
    assert len(list((folder / "half" / "checkpoints").glob("step-*"))) == 2
    return folder / "finished", folder / "half"


def write_skills(folder: Path) -> tuple[Path, Path]:
    """Skills of a language model with a trained backbone in `folder`, and of an agent."""
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
