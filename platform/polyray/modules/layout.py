"""Names and widths of the sites, which routers are built from."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from polyray.modules.layers import linear_widths
from polyray.modules.matching import match


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The sites of an inventory in the backbone's order.

    widths: features of each site's input, 0 where the layer is not linear.
    """

    sites: tuple[str, ...]
    widths: tuple[int, ...]
    n_heads: int = 1

    @classmethod
    def of(cls, backbone: nn.Module, patterns: Sequence[str], n_heads: int = 1) -> "Layout":
        """The layout of the layers of `backbone` that `patterns` name.

        Raises:
            InputError: a pattern matches nothing.
        """
        sites = match(backbone, patterns)
        layers = [backbone.get_submodule(site) for site in sites]
        widths = tuple((linear_widths(layer) or (0, 0))[0] for layer in layers)
        return cls(sites=tuple(sites), widths=widths, n_heads=n_heads)
