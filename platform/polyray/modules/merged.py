"""A backbone's parameters with the skills of a mix in them, for backbones that compute with parameters they are given.

Sites compose skills into one layer's output, for one batch. An agent's network groups its inputs in more than one way
(frames, tiles, missions) and uses the weights themselves: name -> [rows, *shape].
"""

from typing import cast

from torch import Tensor, nn

from polyray.modules.attach import Inventory
from polyray.modules.rowwise import total
from polyray.modules.stack import WeightStack, no_changes


class Merger:
    """Merges the skills of `inventory` into the parameters of `backbone`, on which it sits.

    Raises:
        InputError: modules of this kind change outputs, not parameters.
    """

    def __init__(self, backbone: nn.Module, inventory: Inventory) -> None:
        if not inventory.entry.changes_weights:
            raise no_changes(inventory.kind)
        self._inventory = inventory
        inner = {f"{site}.layer.": f"{site}." for site in inventory.sites}
        self._parameters = {}
        for name, parameter in backbone.named_parameters():
            prefix = next((prefix for prefix in inner if name.startswith(prefix)), "")
            self._parameters[inner.get(prefix, "") + name.removeprefix(prefix)] = parameter

    def __call__(self, weights: Tensor) -> dict[str, Tensor]:
        """All parameters for the rows of a mix, by their names without skills.

        weights [sites or 1, heads, rows, skills] -> [rows, *shape], or [1, *shape] where no skill changes a parameter.
        """
        inventory = self._inventory
        weights = weights.expand(len(inventory.sites), inventory.n_heads, -1, -1)
        merged = {name: parameter.unsqueeze(0) for name, parameter in self._parameters.items()}
        layers = list(inventory.layers.values())
        for stack, sites in zip(inventory.stacks, inventory.stack_sites, strict=True):
            of_sites = cast(WeightStack, stack).row_changes([layers[site] for site in sites], weights[sites])
            for site, changes in zip(sites, of_sites, strict=True):
                for name in changes:
                    parameter = f"{inventory.sites[site]}.{name}"
                    merged[parameter] = total(self._parameters[parameter], changes, name)
        return merged
