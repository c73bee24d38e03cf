"""Broken input and a full disk: one clear error, and no model or half of one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from crash_cases import FailingDisk
from safetensors.torch import save_file
from torch import Tensor

from polyray.config import load_config
from polyray.errors import InputError, StorageError
from polyray.files.disk import using
from polyray.jobs.merge import Config, run
from polyray.merging.folder import MODEL
from polyray.runs.run import Run

SHAPES = {"layer.0.weight": (6, 4), "layer.1.weight": (4, 4), "norm": (4,)}


def tensors(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def config(folder: Path, *more: str) -> Config:
    """A merge of two parts by elastic weight removal, whose files are written anew."""
    for seed, name in enumerate(("base", "a", "b")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        save_file(tensors(seed), folder / name / "model.safetensors")
        (folder / name / "config.json").write_text("{}")
        save_file({n: x.abs() for n, x in tensors(10 + seed).items()}, folder / f"{name}-fisher.safetensors")
    parts = [
        {"model": str(folder / n), "weight": -0.5, "fisher": str(folder / f"{n}-fisher.safetensors")} for n in "ab"
    ]
    base = [f"base={folder / 'base'}", f"base_fisher={folder / 'base-fisher.safetensors'}"]
    return load_config(Config, None, ["merge.kind=ewr", *base, f"parts={json.dumps(parts)}", *more])


def with_nan(folder: Path, name: str) -> None:
    broken = tensors(1)
    broken["layer.1.weight"][2, 1] = float("nan")
    save_file(broken, folder / name)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "layer.1.weight: the merged tensor holds numbers that are not finite": lambda f: with_nan(f, "a/model.safetensors"),
    r"layer.1.weight: the merged tensor holds numbers": lambda f: with_nan(f, "b-fisher.safetensors"),
    r"a/model.safetensors is cut off: .* ends at byte": lambda f: cut(f / "a" / "model.safetensors"),
    r"b-fisher.safetensors is cut off": lambda f: cut(f / "b-fisher.safetensors"),
    "b does not fit .*base: it lacks norm; it also has other": lambda f: save_file(
        {**{n: x for n, x in tensors(2).items() if n != "norm"}, "other": torch.ones(2)}, f / "b" / "model.safetensors"
    ),
    r"a-fisher.safetensors does not fit .*: shapes differ: norm \[5\]": lambda f: save_file(
        {**tensors(1), "norm": torch.ones(5)}, f / "a-fisher.safetensors"
    ),
    "holds no model": lambda f: (f / "base" / "model.safetensors").unlink(),
}


def test_broken_input_gives_one_error_and_no_model(tmp_path: Path) -> None:
    wrong = []
    for number, (message, damage) in enumerate(DAMAGES.items()):
        folder, out = tmp_path / str(number), tmp_path / f"out-{number}"
        chosen = config(folder)
        damage(folder)
        with pytest.raises(InputError, match=message):
            run(chosen, Run(out))
        wrong += [str(path) for path in out.rglob("*.safetensors")] if out.exists() else []
    assert not wrong


def files_in(folder: Path) -> dict[Path, bytes]:
    """Content of all files that are not hidden, as those are that wait to be removed."""
    paths = {path: path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {name: p.read_bytes() for p, name in paths.items() if not any(x.startswith(".") for x in name.parts)}


def test_a_full_disk_leaves_no_half_model_and_the_merge_goes_on(tmp_path: Path) -> None:
    chosen = config(tmp_path / "in", "factors=[1, 2]")
    counting = FailingDisk(0, "ENOSPC", tmp_path / "journal")
    with using(counting):
        run(chosen, Run(tmp_path / "whole"))
    whole = files_in(tmp_path / "whole")
    assert counting.count > 10 and not (tmp_path / "whole" / MODEL).exists()
    for number in range(1, counting.count + 1, 3):
        out = tmp_path / f"out-{number}"
        with using(FailingDisk(number, "ENOSPC", tmp_path / "journal")), pytest.raises(StorageError, match="No space"):
            run(chosen, Run(out))
        models = files_in(out / "models") if (out / "models").exists() else {}
        assert all(content == whole["models" / name] for name, content in models.items())
        run(chosen, Run(out))
        assert files_in(out) == whole
