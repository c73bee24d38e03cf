"""Skills as parts of a merge: into a model as their changes say, into one skill that changes as much."""

import json
from pathlib import Path

import pytest
import torch
from gathering import for_each
from safetensors.torch import load_file, save_file
from skill_cases import LAYER, OTHER, backbone_in, save_lora, save_sparse, with_changes

from polyray.backbones import Backbone
from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs.merge import Config, check, run
from polyray.merging import stream
from polyray.merging.folder import MODEL
from polyray.merging.model_files import open_model
from polyray.merging.stored_network import StoredNetwork
from polyray.modules.changes import LowRankChange, SparseChange
from polyray.runs.run import Run
from polyray.skills.composition import compose
from polyray.skills.delta import delta
from polyray.skills.skill import load_skill
from polyray.skills.sparse_delta import sparse_delta


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Backbone]:
    """A folder with the backbone `base` and skills on it."""
    folder = tmp_path_factory.mktemp("shelf")
    backbone = backbone_in(folder / "base")
    save_lora(folder / "lora", backbone, seed=1)
    save_lora(folder / "heads", backbone, seed=2, rank=4, n_splits=2, sites=(LAYER, OTHER))
    save_sparse(folder / "sparse", backbone, seed=3)
    save_sparse(folder / "second", backbone, seed=4)
    save_sparse(folder / "above", backbone, seed=5, beneath=(folder / "sparse",))
    return folder, backbone


def config(folder: Path, weights: dict[str, float], *more: str, base: bool = True) -> Config:
    parts = json.dumps([{"model": str(folder / name), "weight": weight} for name, weight in weights.items()])
    return load_config(Config, None, [f"parts={parts}", *([f"base={folder / 'base'}"] if base else []), *more])


@for_each(name=["tiny-causal", "tiny-seq2seq", "tiny-encoder"])
def test_the_fingerprint_of_a_stored_network_is_that_of_the_backbone(name: str, tmp_path: Path) -> None:
    backbone = backbone_in(tmp_path / name, name)
    with open_model(tmp_path / name) as files:
        assert StoredNetwork(files).fingerprint() == backbone.fingerprint


def test_skills_of_all_kinds_are_added_to_the_base(
    shelf: tuple[Path, Backbone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, backbone = shelf
    monkeypatch.setattr(stream, "STRETCH", 997)
    weights = {"lora": 1.0, "heads": -0.5, "second": 0.25}
    run(config(folder, weights), Run(tmp_path / "out"))
    merged = load_file(tmp_path / "out" / MODEL / "model.safetensors")
    expected = with_changes(backbone, {folder / name: weight for name, weight in weights.items()})
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-5, msg=name)
    with open_model(tmp_path / "out" / MODEL) as files:
        assert StoredNetwork(files).fingerprint() != backbone.fingerprint
    card = json.loads((tmp_path / "out" / MODEL / "merge.json").read_text())
    assert list(card["parents"][str(folder / "lora")]) == ["skill.safetensors"]


def test_skills_beneath_the_parts_belong_to_the_base(shelf: tuple[Path, Backbone], tmp_path: Path) -> None:
    folder, backbone = shelf
    overrides = [f"base_skills=[{folder / 'sparse'}]", "merge.kind=ewr"]
    names = [name for name, _ in backbone.network.named_parameters()]
    generator = torch.Generator().manual_seed(0)
    start = with_changes(backbone, {folder / "sparse": 1.0})
    fishers = {who: {n: torch.rand(start[n].shape, generator=generator) for n in names} for who in ("base", "part")}
    for who, tensors in fishers.items():
        save_file(tensors, tmp_path / f"{who}.safetensors")
    part = {"model": str(folder / "above"), "weight": -0.5, "fisher": str(tmp_path / "part.safetensors")}
    overrides += [f"base_fisher={tmp_path / 'base.safetensors'}", f"parts={json.dumps([part])}"]
    result = run(load_config(Config, None, [f"base={folder / 'base'}", *overrides]), Run(tmp_path / "out"))
    merged = load_file(tmp_path / "out" / MODEL / "model.safetensors")
    change = with_changes(backbone, {folder / "above": 1.0})
    for name in names:
        tau = change[name] - backbone.network.get_parameter(name)
        f_base, f_part = (fishers[who][name].clamp_min(1e-6) for who in ("base", "part"))
        expected = (f_base * start[name] - 0.5 * f_part * tau) / (f_base + 0.5 * f_part)
        torch.testing.assert_close(merged[name], expected.detach(), rtol=1e-4, atol=1e-5, msg=name)
    assert 0 < result.metrics["shrink"] < 1


def test_sparse_skills_become_one(shelf: tuple[Path, Backbone], tmp_path: Path) -> None:
    folder, _ = shelf
    result = run(config(folder, {"sparse": 1.0, "second": -0.5}, "into=skill", "name=both", base=False), Run(tmp_path))
    assert result.skills == ("skills/both",)
    skill = load_skill(tmp_path / "skills" / "both")
    assert [parent.name for parent in skill.card.merged_from] == ["sparse", "second"] and skill.card.tasks == ("t",)
    assert skill.card.merge["weights"] == [1.0, -0.5] and skill.card.merge["kind"] == "task_arithmetic"
    terms = [(sparse_delta(load_skill(folder / name)), weight) for name, weight in (("sparse", 1.0), ("second", -0.5))]
    for name, change in compose(terms).changes.items():
        merged = sparse_delta(skill).changes[name]
        assert torch.equal(merged.support, change.support)
        torch.testing.assert_close(merged.values, change.values)
    overrides = ("into=skill", "factor=2", "name=again")
    run(config(folder, {"sparse": 0.5, "second": -0.25}, *overrides, base=False), Run(tmp_path))
    again = sparse_delta(load_skill(tmp_path / "skills" / "again")).changes
    assert all(torch.equal(again[name].values, sparse_delta(skill).changes[name].values) for name in again)


@pytest.mark.parametrize("of_skill", [False, True])
def test_sparse_skills_are_weighted_by_fisher_information(
    of_skill: bool, shelf: tuple[Path, Backbone], tmp_path: Path
) -> None:
    """The information is of the whole network, or of the skill's own entries, which leaves 0 elsewhere."""
    folder, backbone = shelf
    generator = torch.Generator().manual_seed(0)
    shapes = {name: p.shape for name, p in backbone.network.named_parameters()}
    parts, whole = [], {}
    for name in ("sparse", "second"):
        tensors = {n: torch.rand(shape, generator=generator) for n, shape in shapes.items()}
        changes = sparse_delta(load_skill(folder / name)).changes
        entries = {f"{n}/values": tensors[n].view(-1)[c.support.long()] for n, c in changes.items()}
        whole[name] = tensors
        if of_skill:
            whole[name] = {
                n: torch.zeros(shapes[n].numel()).scatter(0, c.support.long(), entries[f"{n}/values"]).view(shapes[n])
                for n, c in changes.items()
            }
        save_file(entries if of_skill else tensors, tmp_path / f"{name}.safetensors")
        parts.append({"model": str(folder / name), "fisher": str(tmp_path / f"{name}.safetensors"), "weight": 0.5})
    overrides = ["merge.kind=fisher", "into=skill", f"parts={json.dumps(parts)}"]
    run(load_config(Config, None, overrides), Run(tmp_path / "out"))
    merged = sparse_delta(load_skill(tmp_path / "out" / "skills" / "merged")).changes
    for name, change in merged.items():
        dense = {s: sparse_delta(load_skill(folder / s)).changes[name].dense() for s in ("sparse", "second")}
        f = {s: whole[s][name].clamp_min(1e-6) for s in dense}
        expected = sum(f[s] * dense[s] for s in dense) / sum(f.values())
        torch.testing.assert_close(change.dense(), expected, rtol=1e-4, atol=1e-6)


def test_lora_skills_become_one_exactly_and_compressed_with_its_error(
    shelf: tuple[Path, Backbone], tmp_path: Path
) -> None:
    folder, backbone = shelf
    weights = {"lora": 1.0, "heads": -1.0}

    def changes(out: Path) -> dict[str, torch.Tensor]:
        skill = load_skill(out / "skills" / "merged")
        return {name: change.dense() for name, change in delta(skill, backbone.network).items()}

    expected = with_changes(backbone, {folder / name: weight for name, weight in weights.items()})
    expected = {name: expected[name] - backbone.network.get_parameter(name).detach() for name in expected}
    run(config(folder, weights, "into=skill", base=False), Run(tmp_path / "exact"))
    exact = changes(tmp_path / "exact")
    assert set(exact) == {f"{LAYER}.weight", f"{OTHER}.weight"}
    for name, change in exact.items():
        torch.testing.assert_close(change, expected[name], rtol=1e-5, atol=1e-5)
    assert load_skill(tmp_path / "exact" / "skills" / "merged").card.options["rank"] == 6

    result = run(config(folder, weights, "into=skill", "rank=3", base=False), Run(tmp_path / "small"))
    small = changes(tmp_path / "small")
    lost = sum(float((small[name] - exact[name]).square().sum()) for name in exact)
    total = sum(float(exact[name].square().sum()) for name in exact)
    values = {name: torch.linalg.svdvals(exact[name]) for name in exact}
    # OTHER has rank 4 of the one skill on it, LAYER 6: each loses what lies behind its third singular value
    optimal = sum(float(v[3:].square().sum()) for v in values.values())
    assert abs(lost - optimal) < 1e-3 * total
    assert abs(result.metrics["compression_error"] - (optimal / total) ** 0.5) < 1e-3


def test_skills_that_cannot_be_merged_are_refused_before_anything_is_written(
    shelf: tuple[Path, Backbone], tmp_path: Path
) -> None:
    folder, _ = shelf
    other = backbone_in(tmp_path / "other" / "base")
    with torch.no_grad():
        other.network.get_parameter("model.norm.weight").add_(1.0)
    other.model.save_pretrained(tmp_path / "other" / "base")
    cases = {
        "set base=FOLDER": config(folder, {"lora": 1.0}, "merge.kind=average", base=False),
        "was trained on top of": config(folder, {"above": 1.0}),
        "base_skills=": config(folder, {"sparse": 1.0}, f"base_skills=[{folder / 'second'}]"),
        "with the fingerprint": load_config(
            Config, None, [f"base={tmp_path / 'other' / 'base'}", f'parts=[{{"model": "{folder / "lora"}"}}]']
        ),
        "is made of lora modules": config(folder, {"lora": 1.0, "sparse": 1.0}, "into=skill"),
        "looks at whole tensors": config(folder, {"sparse": 1.0, "second": 1.0}, "into=skill", "merge.kind=ties"),
        "rank=2 is of LoRA": config(folder, {"sparse": 1.0}, "into=skill", "rank=2"),
        "is none: leave into": config(folder, {"base": 1.0}, "into=skill"),
        "fisher of": config(folder, {"sparse": 1.0}, "into=skill", "merge.kind=fisher"),
    }
    for message, refused in cases.items():
        with pytest.raises(InputError, match=message):
            check(refused)


def test_a_stretch_of_a_change_is_that_of_the_dense_change() -> None:
    generator = torch.Generator().manual_seed(0)
    support = torch.tensor([0, 3, 10, 11, 29], dtype=torch.int32)
    sparse = SparseChange(values=torch.randn(5, generator=generator), support=support, shape=(5, 6))
    left, right = torch.randn(5, 2, generator=generator), torch.randn(2, 6, generator=generator)
    low_rank = LowRankChange(left=left, right=right, scale=0.5, shape=(5, 6))
    for change in (sparse, low_rank):
        for start, stop in ((0, 30), (3, 4), (7, 25), (29, 30), (12, 13)):
            stretch = change.copy_stretch(start, stop, torch.full((stop - start,), 9.0))
            torch.testing.assert_close(stretch, change.dense().view(-1)[start:stop])
