"""Fisher information of a skill's own numbers equals one backward pass an example, for every kind of module."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import torch
from gathering import for_cases
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.fisher import EntriesFisher, ModulesFisher, fisher_plainly
from polyray.modules.attach import Inventory
from polyray.modules.kinds import MODULES
from polyray.modules.site import mixing

BATCH = 4
CASES: list[dict[str, Any]] = [
    {"kind": "lora", "options": {"rank": 2, "alpha": 3.0}},
    {"kind": "lora", "options": {"rank": 2, "n_splits": 2}},
    {"kind": "dense", "options": {}},
    {"kind": "sparse", "options": {"density": 0.3}},
    {"kind": "bottleneck", "options": {}},
    {"kind": "ia3", "options": {}},
]


class Net(nn.Module):
    """Two linear layers over several tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        loss: Tensor = self.outer(self.inner(x).tanh()).square().sum((1, 2))
        return loss


def inventory_on(net: Net, kind: str, options: Mapping[str, Any], n_skills: int) -> Inventory:
    """Skills on both layers."""
    layers = {"inner": net.inner, "outer": net.outer}
    inventory = Inventory(layers, kind, n_skills, MODULES[kind].Options(**options), torch.Generator().manual_seed(2))
    inventory.install(net)
    return inventory


def drawn(skill: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The skill with other numbers on the same supports."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(x.shape, generator=generator) if x.is_floating_point() else x for name, x in skill.items()
    }


@for_cases(CASES)
def test_copies_of_a_skill_give_what_one_example_after_the_other_gives(kind: str, options: Mapping[str, Any]) -> None:
    torch.manual_seed(0)
    x = torch.randn(BATCH, 3, 6)
    net = Net()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    one = inventory_on(net, kind, options, 1)
    skill = drawn(one.skill(0))
    one.load_skill(0, skill)

    def loss(index: int) -> Tensor:
        with mixing(one, torch.ones(1, 1)):
            return torch.as_tensor(net(x[index : index + 1]))

    expected = fisher_plainly(dict(one.named_parameters()), [partial(loss, index) for index in range(BATCH)])
    by_stack = {
        f"{site}/{name}": expected[f"stacks.{stack}.{name}"][index, :, 0]
        for site, (stack, index) in one.positions.items()
        for name, _ in one.stacks[stack].named_parameters()
    }
    net = Net()
    net.load_state_dict(state)
    copies = inventory_on(net, kind, options, BATCH - 1)
    for number in range(BATCH - 1):
        copies.load_skill(number, skill)
    fisher = ModulesFisher(net, copies)
    for rows in (slice(0, 3), slice(3, 4)):
        fisher.add(partial(net, x[rows]), rows.stop - rows.start)
    assert fisher.n_squares == BATCH and fisher.sums.keys() == by_stack.keys()
    for name, tensor in by_stack.items():
        torch.testing.assert_close(fisher.sums[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    assert all(parameter.requires_grad for parameter in net.parameters())
    with pytest.raises(InputError, match="one loss an example"):
        fisher.add(lambda: net(x[:2]).sum(), 2)


def test_entries_are_those_of_the_whole_parameters() -> None:
    torch.manual_seed(0)
    net, x = Net(), torch.randn(BATCH, 3, 6)
    examples = [partial(net, x[index : index + 1]) for index in range(BATCH)]
    expected = fisher_plainly({"outer.weight": net.get_parameter("outer.weight")}, examples)["outer.weight"]
    support = torch.tensor([1, 9, 30], dtype=torch.int32)
    fisher = EntriesFisher(net, {"outer.weight": support})
    fisher.add(partial(net, x), BATCH)
    assert list(fisher.sums) == ["outer.weight/values"] and fisher.n_squares == BATCH
    torch.testing.assert_close(fisher.sums["outer.weight/values"], expected.view(-1)[support.long()])
