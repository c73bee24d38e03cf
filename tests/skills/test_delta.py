"""A skill as changes of named parameters: folded in, the backbone computes with it what its sites compute."""

import pytest
import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.attach import attach
from polyray.modules.kinds import MODULES
from polyray.modules.site import mixing
from polyray.skills.card import BackboneCard, Card
from polyray.skills.delta import delta, fold
from polyray.skills.skill import Skill


class Net(nn.Module):
    """An embedding, a convolution and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.conv = nn.Embedding(8, 16), nn.Conv2d(4, 6, 2)
        self.inner, self.outer = nn.Linear(6, 8), nn.Linear(8, 4)
        self.double()

    def forward(self, ids: Tensor) -> Tensor:
        maps = self.conv(self.words(ids).view(len(ids), 4, -1, 4)).flatten(2).mean(-1)
        outputs: Tensor = self.outer(self.inner(maps).relu())
        return outputs


SITES = ["words", "conv", "inner", "outer"]
IDS = torch.tensor([[1, 2, 3, 0], [6, 5, 5, 1]])


def skill_of(kind: str, sites: list[str], **options: float) -> tuple[Skill, Tensor]:
    """A drawn skill, and the outputs of the net under it."""
    net, generator = Net(), torch.Generator().manual_seed(1)
    inventory = attach(net, sites, kind, 2, MODULES[kind].Options(**options), generator).double()
    with torch.no_grad():
        for parameter in inventory.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        with mixing(inventory, torch.eye(2)[[1, 1]].double()):
            outputs = net(IDS)
    card = Card(
        name="x", kind=kind, backbone=BackboneCard(name="net", fingerprint="f"), sites=inventory.sites,
        options=inventory.options.model_dump(),
    )  # fmt: skip
    return Skill(card=card, tensors=inventory.skill(1)), outputs


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lora", {"rank": 2, "alpha": 3.0}),
        ("lora", {"rank": 2, "n_splits": 2}),
        ("dense", {}),
        ("sparse", {"density": 0.3}),
    ],
)
def test_a_backbone_with_a_skill_folded_in_computes_what_its_sites_compute(
    kind: str, options: dict[str, float]
) -> None:
    skill, outputs = skill_of(kind, SITES, **options)
    plain, folded = Net(), Net()
    fold(skill, folded)
    assert torch.allclose(folded(IDS), outputs, atol=1e-10)
    assert not torch.allclose(plain(IDS), outputs, atol=1e-3)


def test_a_delta_is_stored_as_few_numbers_as_its_kind_needs() -> None:
    options: dict[str, dict[str, float]] = {"lora": {"rank": 2}, "dense": {}, "sparse": {"density": 0.25}}
    counts = {
        kind: sum(change.n_entries for change in delta(skill_of(kind, ["inner"], **options[kind])[0], Net()).values())
        for kind in options
    }
    assert counts == {"lora": 2 * (6 + 8), "dense": 6 * 8 + 8, "sparse": 12}
    assert list(delta(skill_of("lora", ["inner"], rank=2)[0], Net())) == ["inner.weight"]


@pytest.mark.parametrize("kind", ["bottleneck", "ia3"])
def test_modules_that_change_outputs_have_no_delta(kind: str) -> None:
    skill, _ = skill_of(kind, ["inner"])
    with pytest.raises(InputError, match=f"{kind} modules change a layer's outputs, not its weights"):
        delta(skill, Net())
