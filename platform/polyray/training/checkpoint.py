"""Checkpoints that are whole or absent, and checked before they are used."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray.files import writing

log = logging.getLogger(__name__)
SUMS = "sums.json"


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any],
    write: Callable[[Path], None] | None = None, keep: int = 2,
) -> Path:  # fmt: skip
    """Write `folder`/step-N: NAME.safetensors for each of `tensors`, state.json, what `write` adds, and their sums.

    Written under a temporary name, synced, then renamed; older ones beyond `keep` are removed afterwards.
    """
    final = folder / f"step-{step:08d}"
    with writing(final) as temporary:
        for name, named in tensors.items():
            save_file({key: value.contiguous() for key, value in named.items()}, temporary / f"{name}.safetensors")
        (temporary / "state.json").write_text(json.dumps(dict(state)), encoding="utf-8")
        if write is not None:
            write(temporary)
        (temporary / SUMS).write_text(json.dumps(_sums(temporary), indent=1), encoding="utf-8")
        for path in temporary.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
    for old in [*sorted(folder.glob("step-*"))[:-keep], *folder.glob(".writing-*")]:  # the latter: of killed runs
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`; damaged ones are reported in the log and passed over."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        problem = _problem(path)
        if problem is None:
            return path
        log.warning("Checkpoint %s is damaged (%s); using the one before it.", path, problem)
    return None


def read_checkpoint(path: Path, names: tuple[str, ...]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors of the named files and the state of a checkpoint that `latest_checkpoint` gave."""
    tensors = {name: load_file(path / f"{name}.safetensors") for name in names}
    return tensors, json.loads((path / "state.json").read_text(encoding="utf-8"))


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _problem(path: Path) -> str | None:
    try:
        wanted = json.loads((path / SUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{SUMS} is missing or unreadable"
    found = _sums(path)
    odd = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    return f"{odd[0]} is missing or altered" if odd else None
