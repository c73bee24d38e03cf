"""Sparse skills by lottery tickets: a dense training chooses each skill's entries, and training begins again."""

from collections.abc import Callable
from copy import deepcopy
from typing import cast

from polyray.modules.dense import DenseOptions
from polyray.modules.options import SkillOptions
from polyray.modules.sparse import SparseOptions
from polyray.modules.tickets import sparse_inventory
from polyray.skills.spec import InventorySpec
from polyray.training.model import Modular


def dense_spec(spec: InventorySpec) -> InventorySpec:
    """The inventory of dense skills from which tickets of the sparse ones of `spec` are drawn."""
    options = DenseOptions(init=cast(SparseOptions, spec.modules.options).init)
    modules = SkillOptions(kind="dense", options=options, sites=spec.modules.sites)
    return InventorySpec(modules=modules, routing=spec.routing)


def rewound(spec: InventorySpec, model: Modular, train: Callable[[Modular], object]) -> Modular:
    """A model with sparse skills, each on the entries that the dense training of `model` changes most.

    Values of the skills, routing and heads are those from before the training, which only chooses (Ansell et al. 2022,
    section 3.1; Ponti et al. 2023, section 3.2).

    Args:
        spec: of the sparse skills.
        model: with fresh dense skills, which leave its backbone.
        train: trains it.
    """
    router, heads, dense = deepcopy(model.router), deepcopy(model.heads), model.inventory
    start = [dense.skill(index) for index in range(dense.n_skills)]
    train(model)
    trained = [dense.skill(index) for index in range(dense.n_skills)]
    sparse = sparse_inventory(dense, start, trained, cast(SparseOptions, spec.modules.options))
    sparse.install(model.network)
    return Modular(model.backbone, sparse, router, dict(heads.items()))
