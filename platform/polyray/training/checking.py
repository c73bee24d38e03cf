"""Whether skills and routing fit a backbone and tasks, from names and shapes alone, before anything starts."""

from collections.abc import Sequence

import torch

from polyray.backbones.precision import QUANTISED, DtypeChoice, check_dtype
from polyray.backbones.skeleton import load_skeleton
from polyray.errors import InputError
from polyray.modules.grouping import alike
from polyray.modules.kinds import MODULES, needs_whole_weights
from polyray.modules.layout import Layout
from polyray.modules.presets import site_patterns
from polyray.routing import ROUTERS
from polyray.skills.spec import InventorySpec
from polyray.tasks import Task


def check_fit(backbone: str, dtype: DtypeChoice, spec: InventorySpec, tasks: Sequence[Task]) -> None:
    """Refuse skills on layers that a backbone lacks or that cannot carry them, and a router that does not fit tasks.

    One skill is built for each group of alike layers, on tensors without values, and the router. dtype: number format
    of the backbone's weights, which must be one that they can have here and that the modules can sit on.

    Raises:
        InputError: they do not fit; the message gives the nearest layer or task.
    """
    check_dtype(backbone, dtype)
    if dtype in QUANTISED and MODULES[spec.modules.kind].reads_weights:
        raise needs_whole_weights(spec.modules.kind)
    skeleton = load_skeleton(backbone)
    patterns = site_patterns(skeleton.family, spec.modules.sites, skeleton.model)
    try:
        layout = Layout.of(skeleton.model, patterns, spec.modules.n_heads)
    except InputError as error:
        raise InputError(f"modules.sites: {error}") from None
    generator = torch.Generator().manual_seed(0)
    ROUTERS[spec.routing.kind]([task.name for task in tasks], layout, spec.routing.options, generator)
    layers = [skeleton.model.get_submodule(site) for site in layout.sites]
    for group in alike(layers):
        MODULES[spec.modules.kind](layers[group[0] : group[0] + 1], 1, spec.modules.stack_options, generator)
