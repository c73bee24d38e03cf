"""Skills on disk and libraries of them: whole or not at all, checked when read, and true to their backbone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

import polyray
from polyray.errors import InputError
from polyray.files import writing
from polyray.files.disk import disk
from polyray.skills.card import CARD, SCHEMA, Ancestor, BackboneCard, Card, check_backbone
from polyray.skills.fingerprint import fingerprint
from polyray.skills.library import cards, find_skill, verify
from polyray.skills.skill import TENSORS, Skill, load_card, load_skill, save_skill

BACKBONE = BackboneCard(name="t5-small", revision="main", fingerprint="a" * 64)


def _skill(name: str = "cola", value: float = 1.0, backbone: BackboneCard = BACKBONE) -> Skill:
    card = Card(
        name=name, kind="lora", backbone=backbone, sites=("block.0.q", "block.1.q"),
        options={"rank": 2, "alpha": 1.5, "n_splits": 1}, tasks=("glue-cola",), seed=13,
        started_from=(Ancestor(name="skill-0", path="../skill-0", fingerprint="b" * 64),),
        metrics={"mean": 0.5}, data={"glue-cola": "f" * 64},
    )  # fmt: skip
    tensors = {
        "block.0.q/down.weight": torch.full((1, 3, 2), value),
        "block.0.q/up.weight": torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16),
        "block.1.q/support": torch.tensor([[0, 5, 7]]),
    }
    return Skill(card=card, tensors=tensors)


def test_a_card_says_nothing_that_nobody_said() -> None:
    card = Card(name="plain", kind="lora", backbone=BACKBONE, sites=("q",), options={"rank": 1})
    said = {"schema_version", "polyray", "name", "kind", "backbone", "sites", "options"}
    assert not any(value for name, value in card if name not in said)
    for one, field in ((card, "seed"), (BACKBONE, "name")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(one, field, "x")
        with pytest.raises(ValidationError, match="Extra inputs"):
            type(one).model_validate({**one.model_dump(), "colour": "red"})


def test_a_skill_comes_back_bit_for_bit_with_its_card(tmp_path: Path) -> None:
    skill = _skill()
    save_skill(skill, tmp_path / "library" / "cola")
    loaded = load_skill(tmp_path / "library" / "cola")
    assert set(loaded.tensors) == set(skill.tensors)
    for name, tensor in skill.tensors.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)
    sums = {TENSORS: disk().digest(tmp_path / "library" / "cola" / TENSORS)}
    assert loaded.card == skill.card.model_copy(update={"sha256": sums, "fingerprint": fingerprint(skill.tensors)})
    assert loaded.card.polyray == polyray.__version__
    with pytest.raises(ValidationError, match="frozen"):
        setattr(loaded.card, "name", "rte")  # noqa: B010  (the type checker would refuse the plain way)
    assert sorted(path.name for path in (tmp_path / "library").rglob("*")) == ["card.json", "cola", "skill.safetensors"]


def test_views_of_one_memory_are_written_each_for_itself(tmp_path: Path) -> None:
    both = torch.arange(6.0).requires_grad_()
    skill = Skill(card=_skill().card, tensors={"a": both[:3], "b": both[3:], "c": both.detach().view(2, 3).T})
    save_skill(skill, tmp_path / "views")
    loaded = load_skill(tmp_path / "views").tensors
    assert loaded["a"].tolist() == [0, 1, 2] and loaded["b"].tolist() == [3, 4, 5]
    assert loaded["c"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_saving_again_replaces_the_whole_folder(tmp_path: Path) -> None:
    save_skill(_skill(value=1.0), tmp_path / "cola")
    (tmp_path / "cola" / "stray.txt").write_text("left over")
    save_skill(_skill(value=2.0), tmp_path / "cola")
    assert load_skill(tmp_path / "cola").tensors["block.0.q/down.weight"].unique().tolist() == [2]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["card.json", "cola", "skill.safetensors"]


def test_a_write_that_fails_leaves_what_was_there_and_no_trace(tmp_path: Path) -> None:
    save_skill(_skill(), tmp_path / "cola")
    broken = Skill(card=_skill().card, tensors={"a": torch.empty(2, device="meta")})
    with pytest.raises(NotImplementedError):
        save_skill(broken, tmp_path / "cola")
    assert [path.name for path in tmp_path.iterdir()] == ["cola"]
    assert len(load_skill(tmp_path / "cola").tensors) == 3


def test_a_library_does_not_see_a_folder_that_is_being_written(tmp_path: Path) -> None:
    save_skill(_skill(), tmp_path / "cola")
    with writing(tmp_path / "other") as folder:
        (folder / CARD).write_text("{")
        assert list(cards(tmp_path)) == ["cola"]
    assert (tmp_path / "other" / CARD).read_text() == "{"


def _edit(**fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / CARD).read_text())
        for field, value in fields.items():
            if value is None:
                del card[field]
            else:
                card[field] = value
        (folder / CARD).write_text(json.dumps(card))

    return change


def _flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / TENSORS).read_bytes())
    data[-1] ^= 1
    (folder / TENSORS).write_bytes(data)


def _cut(folder: Path) -> None:
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-1])


def _no_tensors_at_all(folder: Path) -> None:
    (folder / TENSORS).write_bytes(b"not tensors")
    _edit(sha256={TENSORS: disk().digest(folder / TENSORS)})(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_a_bit, r"skill\.safetensors was altered or cut short"),
        (_cut, r"skill\.safetensors was altered or cut short"),
        (lambda folder: (folder / TENSORS).unlink(), r"is not whole: skill\.safetensors is missing"),
        (_no_tensors_at_all, r"Cannot read .*skill\.safetensors"),
        (_edit(sha256={}), r"card\.json: sha256: has no sum of skill\.safetensors"),
        (lambda folder: (folder / CARD).unlink(), r"holds no skill: Cannot read .*card\.json"),
        (lambda folder: (folder / CARD).write_text('{"name": "co'), r"card\.json: .*JSON"),
        (_edit(flavour="mint"), r"card\.json: flavour: no such field"),
        (_edit(kind=None), r"card\.json: kind: it must be set"),
        (_edit(backbone={"name": "t5"}), r"card\.json: backbone\.fingerprint: it must be set"),
        (_edit(seed="many"), r"card\.json: seed: .*integer"),
        (_edit(schema_version=SCHEMA + 1), r"card\.json has the schema version 3; this Polyray .* up to 2"),
        (_edit(schema_version=SCHEMA + 1, of_tomorrow=1), r"has the schema version 3"),
    ],
)
def test_damage_is_told_with_its_file_and_field(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    save_skill(_skill(), tmp_path / "cola")
    damage(tmp_path / "cola")
    with pytest.raises(InputError, match=message):
        load_skill(tmp_path / "cola")


def test_a_card_is_read_without_its_tensors(tmp_path: Path) -> None:
    save_skill(_skill(), tmp_path / "cola")
    (tmp_path / "cola" / TENSORS).unlink()
    assert load_card(tmp_path / "cola").tasks == ("glue-cola",)


def _state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(3, 4, generator=generator),
        "half": torch.randn(2, 2, generator=generator).to(torch.bfloat16),
        "steps": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "empty": torch.empty(0, 3),
    }


def test_a_fingerprint_ignores_order_layout_and_gradients() -> None:
    state = _state()
    turned = dict(reversed(state.items())) | {"weight": state["weight"].T.contiguous().T.requires_grad_()}
    assert not turned["weight"].is_contiguous()
    assert fingerprint(turned) == fingerprint(state)
    assert len(fingerprint(state)) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(weight=state["weight"].nextafter(torch.tensor(torch.inf))),
        lambda state: state.update(weight=state["weight"].view(4, 3)),
        lambda state: state.update(half=state["half"].float()),
        lambda state: state.update(steps=torch.tensor(8)),
        lambda state: state.update(empty=torch.empty(3, 0)),
        lambda state: state.update(other=state.pop("mask")),
        lambda state: state.pop("steps"),
        lambda state: state.update(weight=state["weight"].neg().abs().mul(state["weight"].sign())[[1, 0, 2]]),
    ],
)
def test_a_fingerprint_changes_with_every_name_type_shape_and_bit(change: Callable[[dict[str, Tensor]], None]) -> None:
    state = _state()
    before = fingerprint(state)
    change(state)
    assert fingerprint(state) != before


def test_another_backbone_is_refused() -> None:
    check_backbone(_skill().card, "a" * 64)
    with pytest.raises(
        InputError, match=r"'cola' was trained on the backbone 't5-small' .*aaaaaaaaaaaa.* bbbbbbbbbbbb"
    ):
        check_backbone(_skill().card, "b" * 64)


def test_a_library_lists_finds_and_verifies_its_skills(tmp_path: Path) -> None:
    for name in ("sst2", "cola"):
        save_skill(_skill(name), tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert list(cards(tmp_path)) == list(verify(tmp_path)) == ["cola", "sst2"]
    assert find_skill(tmp_path, "sst2").card.name == "sst2"
    with pytest.raises(InputError, match=r"no skill called 'colla'\. Did you mean 'cola'\?"):
        find_skill(tmp_path, "colla")


def test_verifying_a_library_finds_damage_and_mixed_backbones(tmp_path: Path) -> None:
    for name in ("sst2", "cola"):
        save_skill(_skill(name), tmp_path / name)
    other = BACKBONE.model_copy(update={"fingerprint": "b" * 64})
    save_skill(_skill("mnli", backbone=other), tmp_path / "mnli")
    with pytest.raises(InputError, match=r"'\w+' and '\w+' in .* were trained on different backbones"):
        verify(tmp_path)
    save_skill(_skill("mnli"), tmp_path / "mnli")
    verify(tmp_path)
    _flip_a_bit(tmp_path / "sst2")
    with pytest.raises(InputError, match="altered"):
        verify(tmp_path)


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_skills_is_no_library(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"{name} holds no skills"):
        cards(tmp_path / name)
