"""Skills that take turns on one backbone, beside networks of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from responding_cases import write_skills
from torch import Tensor

from polyray.backbones import load_backbone
from polyray.errors import InputError
from polyray.modules.site import mixing
from polyray.responding.members import MemberSource, NetworkMember, load_members
from polyray.responding.switching import common

TASKS = ("known", "new")
INPUT = torch.tensor([[40, 50, 60, 70]])


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return write_skills(tmp_path_factory.mktemp("skills"))


@torch.no_grad()
def logits(member: NetworkMember) -> Tensor:
    """The last logits, under the member's own mix where it has modules of its own."""
    network = member.network
    with member.in_force(), mixing(network.inventory, network.router(("known",))):
        output: Tensor = network.backbone.model(input_ids=INPUT, use_cache=False).logits[0, -1]
    return output


def test_skills_that_take_turns_compute_as_networks_of_their_own_in_any_order(skills: Callable[[str], Path]) -> None:
    sources = {name: MemberSource(path=str(skills(name))) for name in ("base", "expert", "anti", "other")}
    sources["bare"] = MemberSource(path="tiny-causal")
    apart = {name: NetworkMember(network=source.load(TASKS)) for name, source in sources.items()}
    together = load_members(sources, TASKS, share=True)
    assert len({id(member.backbone.model) for member in together.values()}) == 1
    expected = {name: logits(member) for name, member in apart.items()}
    assert len({tuple(values.tolist()) for values in expected.values()}) == len(sources), "they differ"
    for name in ("anti", "base", "expert", "anti", "other", "bare", "expert", "base", "base"):
        torch.testing.assert_close(logits(together[name]), expected[name], rtol=1e-4, atol=1e-5)


def test_a_block_inside_a_block_takes_its_place_and_gives_it_back_to_the_bit(skills: Callable[[str], Path]) -> None:
    sources = {name: MemberSource(path=str(skills(name))) for name in ("base", "expert", "anti")}
    members = load_members(sources, TASKS, share=True)
    weights = {name: p.clone() for name, p in members["base"].network.network.named_parameters()}
    first = logits(members["anti"])
    with members["anti"].in_force():
        logits(members["expert"])
        assert torch.equal(logits(members["anti"]), first)
    changed = [
        name for name, p in members["base"].network.network.named_parameters() if not torch.equal(p, weights[name])
    ]
    assert not changed


def test_skills_at_the_bottom_of_all_stacks_are_common() -> None:
    a, b, c = (Path(name) for name in "abc")
    assert common([(a, b), (a, b, c), (a, b)]) == (a, b)
    assert common([(), (a,)]) == () and common([(a, b), (b, a)]) == ()


def test_networks_of_another_vocabulary_and_folders_without_anything_are_refused(
    skills: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="No backbone can be loaded|No backbone is called"):
        MemberSource(path="tiny-nothing").check(TASKS)
    with pytest.raises(InputError, match="lies beneath a skill; tiny-causal is a whole network"):
        MemberSource(path="tiny-causal", base=("x",)).check(TASKS)
    other = load_backbone("tiny-causal")
    other.text.eos = 7
    monkeypatch.setattr("polyray.responding.members.load_backbone", lambda name, revision, dtype: other)
    with pytest.raises(InputError, match="reads texts as other tokens than"):
        load_members(
            {"main": MemberSource(path=str(skills("base"))), "expert": MemberSource(path="tiny-causal")}, TASKS,
            share=False,
        )  # fmt: skip
