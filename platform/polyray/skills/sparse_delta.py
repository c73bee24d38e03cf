"""Sparse deltas: skills that change some entries of a backbone's own parameters, and bring whole heads.

On disk a sparse delta is a skill like any other, of the kind `sparse_delta`. Its tensors are PARAMETER/indices [k],
int32 or int64 into the flattened parameter, ascending; PARAMETER/values [k]; PARAMETER/shape; and heads/PARAMETER.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.modules.changes import SparseChange
from polyray.skills.card import BackboneCard, Card
from polyray.skills.skill import HEADS, Skill
from polyray.skills.tensors import INDICES as INDEX_TYPES
from polyray.sparsity.eligible import weights

KIND = "sparse_delta"  # of the card of such a skill
POOLER = "pooler."
"""First letters of the names of tensors that pool an encoder's output for a classifier, which no objective uses."""
UNTIED = "untied"  # among the options of a skill whose masked language model decodes with the pretrained embeddings
INDICES, VALUES, SHAPE = "indices", "values", "shape"


@dataclass(frozen=True, eq=False, kw_only=True)
class SparseDelta:
    """Changes of some entries of named parameters (Ansell et al. 2022), and whole parameters.

    changes: by parameter, each with an ascending support. heads: parameters that are replaced, such as a classifier's.
    """

    changes: Mapping[str, SparseChange]
    heads: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def n_entries(self) -> int:
        """Changed entries of all parameters, without heads."""
        return sum(change.n_entries for change in self.changes.values())


def sparse_skill(
    delta: SparseDelta,
    *,
    name: str,
    backbone: BackboneCard,
    tasks: Sequence[str] = (),
    metrics: Mapping[str, Any] | None = None,
) -> Skill:
    """A sparse delta as a skill called `name` on `backbone`, to be saved.

    Raises:
        InputError: indices are out of range or do not ascend.
    """
    check_entries(delta, f"The skill {name!r}")
    tensors = {f"{HEADS}{parameter}": tensor for parameter, tensor in delta.heads.items()}
    for parameter, change in delta.changes.items():
        shape = torch.tensor(change.shape, dtype=torch.int64)
        content = {INDICES: change.support, VALUES: change.values, SHAPE: shape}
        tensors |= {f"{parameter}/{item}": tensor for item, tensor in content.items()}
    card = Card(
        name=name, kind=KIND, backbone=backbone, options={"entries": delta.n_entries}, tasks=tuple(tasks),
        sites=tuple(dict.fromkeys(parameter.rpartition(".")[0] for parameter in delta.changes)),
        metrics=dict(metrics or {}),
    )  # fmt: skip
    return Skill(card=card, tensors=tensors)


def sparse_delta(skill: Skill) -> SparseDelta:
    """The sparse delta that a skill is.

    Raises:
        InputError: the skill is of another kind, lacks a tensor, or its indices are out of range or do not ascend.
    """
    source = f"The skill {skill.card.name!r}"
    if skill.card.kind != KIND:
        raise InputError(f"{source} is made of {skill.card.kind} modules; expected a sparse delta ({KIND}).")
    tensors = skill.modules
    changes = {}
    for parameter in dict.fromkeys(name.rpartition("/")[0] for name in tensors):
        content = {item: tensors.pop(f"{parameter}/{item}", None) for item in (INDICES, VALUES, SHAPE)}
        indices, values, shape = content.values()
        if indices is None or values is None or shape is None or shape.is_floating_point() or shape.dim() != 1:
            raise InputError(f"{source} is no sparse delta: {parameter!r} lacks {INDICES}, {VALUES} or {SHAPE}.")
        changes[parameter] = SparseChange(values=values, support=indices, shape=tuple(shape.tolist()))
    if tensors:
        raise InputError(f"{source} is no sparse delta: it also holds {next(iter(tensors))!r}.")
    delta = SparseDelta(changes=changes, heads=skill.heads)
    check_entries(delta, source)
    return delta


def check_entries(delta: SparseDelta, source: str) -> None:
    """Refuse indices that are out of range, not ascending, or not as many as values.

    source: the file or the skill that they are from, as the message names it.

    Raises:
        InputError: that is so; the message names the parameter.
    """
    for name, change in delta.changes.items():
        support, n_entries = change.support, math.prod(change.shape)
        if support.dim() != 1 or support.dtype not in INDEX_TYPES or not change.values.is_floating_point():
            raise InputError(f"{source}: {name}: expected a list of int32 or int64 indices and one of values.")
        if support.shape != change.values.shape:
            raise InputError(f"{source}: {name} has {support.numel()} indices and {change.values.numel()} values.")
        outside = support[(support < 0) | (support >= n_entries)]
        if len(outside):
            raise InputError(
                f"{source}: {name}: the index {int(outside[0])} is outside of the {n_entries} entries of the shape "
                f"{list(change.shape)}."
            )
        falls = (support[1:] <= support[:-1]).nonzero()
        if len(falls):
            at = int(falls[0])
            raise InputError(
                f"{source}: {name}: the index {int(support[at + 1])} follows {int(support[at])}; indices must ascend, "
                "none twice."
            )


def is_of_pooler(parameter: str) -> bool:
    """Whether a parameter pools an encoder's output for a classifier; encoders are loaded without these."""
    return f".{POOLER}" in f".{parameter}"


def on_network(delta: SparseDelta, network: nn.Module, source: str) -> SparseDelta:
    """The part of `delta` that is of parameters of `network`: all but changes of a pooler that it is built without.

    Raises:
        InputError: see `check_parameters`.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    absent = {name for name in delta.changes if is_of_pooler(name) and name not in parameters}
    fitting = replace(delta, changes={name: change for name, change in delta.changes.items() if name not in absent})
    check_parameters(fitting, network, source)
    return fitting


def check_parameters(delta: SparseDelta, network: nn.Module, source: str) -> None:
    """Refuse a network whose parameters are not those that `delta` changes.

    Raises:
        InputError: the network lacks one, or has one of another shape, quantised, or one weight under two names.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    for name, change in delta.changes.items():
        if name not in parameters:
            raise InputError(f"{source} changes {name!r}, which the network lacks. {suggestion(name, parameters)}")
        parameter = parameters[name]
        if tuple(parameter.shape) != change.shape:
            embeds = isinstance(network.get_submodule(name.rpartition(".")[0]), nn.Embedding)
            raise InputError(
                f"{source} changes {name} of the shape {list(change.shape)}; the network's is {list(parameter.shape)}"
                + (": it has another vocabulary." if embeds else ": it is another network.")
            )
        if not parameter.is_floating_point() or not parameter.is_contiguous():
            raise InputError(f"{source} changes {name}, which is quantised or not contiguous: load it in fp32 or bf16.")
    for aliases in weights(network):
        twice = [name for name in aliases if name in delta.changes]
        if len(twice) > 1:
            raise InputError(f"{source} changes {twice[0]} and {twice[1]}, which are one weight of this network.")
