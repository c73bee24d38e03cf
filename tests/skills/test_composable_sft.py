"""Sparse fine-tunings of composable-sft: its files are read and written with the same values, and run no code."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.skills.card import BackboneCard
from polyray.skills.composable_sft import FILE, export_composable_sft, import_composable_sft, read_sft, write_sft
from polyray.skills.composition import SparseSkills
from polyray.skills.sparse_delta import SparseDelta, sparse_delta

CARD = BackboneCard(name="bert-base-multilingual-cased", fingerprint="f")


def dense_changes() -> dict[str, Tensor]:
    """Changes of a matrix, a vector, a convolution, and of nothing."""
    generator = torch.Generator().manual_seed(0)
    changes = {"bert.words.weight": (5, 3), "bert.inner.bias": (4,), "bert.conv.weight": (2, 3, 2)}
    drawn = {name: torch.randn(shape, generator=generator) for name, shape in changes.items()}
    for change in drawn.values():
        change[torch.rand(change.shape, generator=generator) < 0.5] = 0
    drawn["bert.words.weight"][0, 0] = 0.1  # no sum of powers of two
    return {**drawn, "bert.inner.weight": torch.zeros(4, 4)}


def public_file(folder: Path, changes: dict[str, Tensor], heads: dict[str, Tensor]) -> Path:
    """A file as composable-sft writes it: coordinates sorted by their index in column-major order, then differences."""
    diffs = {}
    for name, change in changes.items():
        strides = np.cumprod([1, *change.shape[:-1]])
        nonzero = sorted((int(np.dot(at, strides)), at) for at in map(tuple, change.nonzero().tolist()))
        flat = np.array([index for index, _ in nonzero], dtype=np.int64)
        steps = [flat[0], *np.diff(flat).tolist()] if len(flat) else []  # the first is a NumPy number
        values = torch.tensor([change[at].item() for _, at in nonzero])
        diffs[name] = {"size": change.shape, "index_steps": steps, "values": values}
    folder.mkdir()
    torch.save({"diffs": diffs, "abs": heads}, folder / FILE)
    return folder


def dense_of(delta: SparseDelta) -> dict[str, list[Any]]:
    return {name: change.dense().tolist() for name, change in delta.changes.items()}


def test_a_public_file_is_read_and_written_with_the_same_values(tmp_path: Path) -> None:
    changes, heads = (
        dense_changes(),
        {"classifier.weight": nn.Parameter(torch.randn(3, 2)), "classifier.bias": torch.ones(3)},
    )
    delta = read_sft(public_file(tmp_path / "public", changes, heads) / FILE)
    assert dense_of(delta) == {name: change.tolist() for name, change in changes.items()}
    assert {name: head.tolist() for name, head in delta.heads.items()} == {n: h.tolist() for n, h in heads.items()}
    write_sft(delta, tmp_path / "written")
    theirs = torch.load(public_file(tmp_path / "again", changes, {}) / FILE, weights_only=False)["diffs"]
    ours = torch.load(tmp_path / "written" / FILE, weights_only=True)["diffs"]  # without any name allowed
    for name, diff in theirs.items():
        assert ours[name]["index_steps"] == diff["index_steps"] and ours[name]["size"] == diff["size"]
        assert ours[name]["values"].numpy().tobytes() == diff["values"].numpy().tobytes()
    assert dense_of(read_sft(tmp_path / "written" / FILE)) == dense_of(delta)


class Bare(nn.Module):
    """A network as transformers makes it without a head: the family's prefix is missing in its names."""

    base_model_prefix = "bert"

    def __init__(self) -> None:
        super().__init__()
        self.words, self.inner, self.conv = nn.Embedding(5, 3), nn.Linear(4, 4), nn.Conv1d(3, 2, 2)


def test_a_fine_tuning_is_a_skill_on_a_network_with_or_without_its_prefix(tmp_path: Path) -> None:
    changes = dense_changes()
    folder = public_file(tmp_path / "public", changes, {"classifier.bias": torch.ones(3)})
    network, whole = Bare(), nn.Module()
    whole.base_model_prefix, whole.bert = "bert", network  # type: ignore[assignment]
    for net, prefix in ((network, ""), (whole, "bert.")):
        skill = import_composable_sft(folder, name="hausa", backbone=CARD, network=net)
        delta = sparse_delta(skill)
        assert list(delta.changes) == [name.replace("bert.", prefix) for name in changes]
        before = network.words.weight.detach().clone()
        with SparseSkills(net, {"hausa": delta}).using({"hausa": 1.0}):
            assert torch.equal(network.words.weight, before + changes["bert.words.weight"])
        export_composable_sft(skill, tmp_path / "back", network=net)
        assert dense_of(read_sft(tmp_path / "back" / FILE)) == dense_of(read_sft(folder / FILE))
        assert list(read_sft(tmp_path / "back" / FILE).heads) == ["classifier.bias"]
    unchecked = import_composable_sft(folder, name="hausa", backbone=CARD)
    assert list(sparse_delta(unchecked).changes) == list(changes)


class Payload:
    """An object that makes a folder when a pickle of it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(tmp_path: Path) -> None:
    torch.save({"diffs": {}, "abs": {"x": Payload(tmp_path / "ran")}}, tmp_path / FILE)
    with pytest.raises(InputError, match="holds something else than a sparse fine-tuning, and was not run"):
        read_sft(tmp_path / FILE)
    assert not (tmp_path / "ran").exists()


def test_files_that_are_damaged_or_hold_something_else_are_refused(tmp_path: Path) -> None:
    values, size = torch.ones(2), torch.Size([2, 3])

    def diff(**changed: object) -> dict[str, object]:
        return {"diffs": {"w": {"size": size, "index_steps": [0, 2], "values": values, **changed}}, "abs": {}}

    contents: dict[str, object] = {
        "expected a dict with the keys 'diffs' and 'abs'": {"diffs": {}},
        "'diffs' and 'abs' must be dicts": {"diffs": [], "abs": {}},
        "abs: head is no tensor": {"diffs": {}, "abs": {"head": 3}},
        "w: expected a dict with the keys 'size'": {"diffs": {"w": {"size": size}}, "abs": {}},
        "w: size is [2, 'x']": diff(size=[2, "x"]),
        "w: values: expected one list of finite": diff(values=values / 0),
        "w has 2 indices and 3 values": diff(values=torch.ones(3)),
        "w: index_steps: expected whole numbers from 1 to the 6": diff(index_steps=[1, 0]),
        "w: index_steps: expected": diff(index_steps=[-1, 2]),
        "index_steps: expected whole numbers": diff(index_steps=[1.0, 2.0]),
        "w: index_steps lead to the index 8, outside of the 6 entries": diff(index_steps=[3, 5]),
    }
    wrong = []
    for message, content in contents.items():
        torch.save(content, tmp_path / FILE)
        try:
            read_sft(tmp_path / FILE)
            wrong.append(f"not refused: {message}")
        except InputError as error:
            wrong += [] if message in str(error) and FILE in str(error) else [f"{message} <> {error}"]
    assert not wrong, "\n".join(wrong)
    torch.save(diff(), tmp_path / FILE)
    whole = (tmp_path / FILE).read_bytes()
    with zipfile.ZipFile(tmp_path / FILE) as archive:
        start = whole.index(b"\x00\x00\x80\x3f\x00\x00\x80\x3f")  # the values, 1.0 twice
        assert any(name.endswith("data/0") for name in archive.namelist())
    (tmp_path / FILE).write_bytes(whole[:start] + b"\x01" + whole[start + 1 :])
    with pytest.raises(InputError, match="is damaged: .*data/0"):
        read_sft(tmp_path / FILE)
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="Cannot read"):
        read_sft(tmp_path / FILE)
    with pytest.raises(InputError, match="Cannot read"):
        read_sft(tmp_path / "absent")


def test_fine_tunings_are_found_by_name_and_only_for_their_own_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = public_file(tmp_path / "mbert-lang-sft-ha-small", dense_changes(), {})
    asked: list[str] = []

    def cached_file(name: str, file: str) -> str:
        asked.append(name)
        if name.endswith("zz-small"):
            raise OSError("there is none")
        return str(folder / file)

    monkeypatch.setattr("transformers.utils.hub.cached_file", cached_file)
    for organisation in ("cambridge-tl", "cambridgeltl"):
        import_composable_sft(f"{organisation}/mbert-lang-sft-ha-small", name="ha", backbone=CARD)
    assert asked == ["cambridgeltl/mbert-lang-sft-ha-small"] * 2
    refused = {
        "was trained on xlm-roberta-base; the backbone is bert-base-multi": "cambridgeltl/xlmr-lang-sft-ha-small",
        "Cannot load cambridgeltl/mbert-lang-sft-zz-small": "cambridge-tl/mbert-lang-sft-zz-small",
        "is no folder; expected one with pytorch_diff.bin": "nowhere",
    }
    for message, source in refused.items():
        with pytest.raises(InputError, match=message):
            import_composable_sft(source, name="ha", backbone=CARD)
    network = Bare()
    del network.conv
    with pytest.raises(InputError, match=r"no parameter 'bert\.conv\.weight'"):
        import_composable_sft(folder, name="ha", backbone=CARD, network=network)
