"""Skills of a backbone with fewer pieces of vocabulary become skills of the full one, entry by entry."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.changes import SparseChange
from polyray.skills.card import BackboneCard, Card, FullBackbone, check_backbone
from polyray.skills.delta import fold
from polyray.skills.fingerprint import fingerprint
from polyray.skills.library import verify
from polyray.skills.skill import HEADS, Skill, ancestor, load_skill, save_skill
from polyray.skills.sparse_delta import SparseDelta, sparse_skill
from polyray.skills.untrimming import lift_to_full
from polyray.skills.vocabulary import TENSORS, full_backbone, read_rows, write_vocabulary

ROWS = torch.tensor([0, 1, 4, 8])


class Net(nn.Module):
    """Embeddings, a layer, and an output layer of its own, with a bias."""

    def __init__(self, n_pieces: int) -> None:
        super().__init__()
        self.words, self.inner, self.out = nn.Embedding(n_pieces, 3), nn.Linear(3, 3), nn.Linear(3, n_pieces)

    def forward(self, pieces: Tensor) -> Tensor:
        logits: Tensor = self.out(self.inner(self.words(pieces)))
        return logits


def nets() -> tuple[Net, Net]:
    """A full network of ten pieces, and its copy with four of them."""
    torch.manual_seed(0)
    full, trimmed = Net(10), Net(len(ROWS))
    state = full.state_dict()
    rows = {name: tensor[ROWS] if len(tensor) == 10 else tensor for name, tensor in state.items()}
    trimmed.load_state_dict(rows)
    return full, trimmed


def cards(folder: Path) -> tuple[BackboneCard, BackboneCard]:
    """The card of the full network, and that of the copy, whose vocabulary is in `folder`."""
    full = BackboneCard(name="full", fingerprint="f" * 64)
    folder.mkdir(exist_ok=True)
    write_vocabulary(folder, FullBackbone(name="full", fingerprint="f" * 64, n_pieces=10), ROWS, {})
    origin = full_backbone(folder)
    assert origin is not None and read_rows(folder, origin).tolist() == ROWS.tolist()
    return full, BackboneCard(name=str(folder), fingerprint="t" * 64, dtype="bf16", trimmed_from=origin)


def drawn(net: Net, **heads: Tensor) -> SparseDelta:
    """Changes of a third of all entries."""
    changes = {}
    for name, parameter in net.named_parameters():
        support = (torch.rand(parameter.shape) < 0.4).flatten().nonzero().flatten().int()
        changes[name] = SparseChange(values=torch.randn(len(support)), support=support, shape=tuple(parameter.shape))
    return SparseDelta(changes=changes, heads=heads)


def test_a_lifted_delta_does_on_the_full_backbone_what_it_does_on_the_trimmed_one(tmp_path: Path) -> None:
    full, trimmed = nets()
    full_card, card = cards(tmp_path / "trimmed")
    base = sparse_skill(drawn(trimmed), name="base", backbone=card)
    skill = sparse_skill(drawn(trimmed, **{"tags/weight": torch.ones(2, 3)}), name="hausa", backbone=card)
    save_skill(base, tmp_path / "base")
    beneath = (ancestor(tmp_path / "base", tmp_path / "hausa"),)
    related = skill.card.model_copy(update={"base": beneath, "started_from": beneath})
    save_skill(Skill(card=related, tensors=skill.tensors), tmp_path / "hausa")
    lifted = lift_to_full(tmp_path / "hausa", tmp_path / "deep" / "lifted", full_card, full)
    save_skill(lifted, tmp_path / "deep" / "lifted")
    untouched = full(torch.arange(10))
    for net, on_it in ((trimmed, skill), (full, lifted)):
        fold(on_it, net)
    others = [row for row in range(10) if row not in ROWS]
    state, before = full.state_dict(), nets()[0].state_dict()
    for name, tensor in trimmed.state_dict().items():
        assert torch.equal(state[name][ROWS] if len(state[name]) == 10 else state[name], tensor)
    assert all(torch.equal(state[name][others], before[name][others]) for name in ("words.weight", "out.bias"))
    assert not torch.equal(full(torch.arange(10)), untouched)
    written = load_skill(tmp_path / "deep" / "lifted")
    assert (written.card.name, written.card.backbone.fingerprint) == ("lifted", "f" * 64)
    assert written.card.backbone.trimmed_from is None and written.card.backbone.dtype == "bf16"
    assert written.card.lifted_from == ancestor(tmp_path / "hausa", tmp_path / "deep" / "lifted")
    assert written.card.base[0].path == written.card.started_from[0].path == "../../base"
    assert torch.equal(written.heads["tags/weight"], torch.ones(2, 3))
    assert verify(tmp_path / "deep")["lifted"].kind == "sparse_delta"


def test_modules_keep_their_tensors_and_other_skills_are_refused(tmp_path: Path) -> None:
    full, _ = nets()
    full_card, card = cards(tmp_path / "trimmed")
    modules = {"inner/down.weight": torch.randn(1, 2, 3), "inner/up.weight": torch.randn(1, 3, 2)}
    large = {**modules, f"{HEADS}mlm/bias": torch.zeros(4), f"{HEADS}mlm/dense": torch.zeros(3, 3)}
    lora = Card(name="lora", kind="lora", backbone=card, sites=("inner",), options={"rank": 2, "alpha": 2.0})
    save_skill(Skill(card=lora, tensors=large), tmp_path / "lora")
    lifted = lift_to_full(tmp_path / "lora", tmp_path / "out", full_card, full, without_heads=True)
    assert fingerprint(lifted.tensors) == fingerprint(modules)  # without the dense half of the head, too
    embedding = lora.model_copy(update={"sites": ("words",)})
    save_skill(Skill(card=embedding, tensors={"words/down.weight": torch.zeros(1)}), tmp_path / "words")
    whole = lora.model_copy(update={"backbone": full_card})
    save_skill(Skill(card=whole, tensors=modules), tmp_path / "whole")
    with pytest.raises(InputError, match="'mlm/bias' with an entry for each of 4 pieces.*--without-heads"):
        lift_to_full(tmp_path / "lora", tmp_path / "out", full_card, full)
    with pytest.raises(InputError, match="has modules on 'words', a layer with an entry for each piece"):
        lift_to_full(tmp_path / "words", tmp_path / "out", full_card, full)
    with pytest.raises(InputError, match="trained on 'full', which is no trimmed backbone"):
        lift_to_full(tmp_path / "whole", tmp_path / "out", full_card, full)
    with pytest.raises(InputError, match="trimmed copy of 'full' with the fingerprint ffff.*; 'full' has 0000"):
        lift_to_full(tmp_path / "lora", tmp_path / "out", BackboneCard(name="full", fingerprint="0" * 64), full)
    with pytest.raises(InputError, match="a trimmed copy of this backbone: write it anew .* polyray skills lift"):
        check_backbone(lora, full_card.fingerprint)
    (tmp_path / "trimmed" / TENSORS).rename(tmp_path / TENSORS)
    with pytest.raises(InputError, match="which says where each piece stands in full, is missing"):
        lift_to_full(tmp_path / "lora", tmp_path / "out", full_card, full, without_heads=True)
    lift_to_full(tmp_path / "lora", tmp_path / "out", full_card, full, trimmed=tmp_path, without_heads=True)
    (tmp_path / "trimmed" / TENSORS).write_bytes(b"x")
    with pytest.raises(InputError, match="is another one: expected the one of the trimmed backbone"):
        lift_to_full(tmp_path / "lora", tmp_path / "out", full_card, full, without_heads=True)
