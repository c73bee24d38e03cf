"""Skills of a trimmed backbone on the full one: rows of pieces get the numbers that the full vocabulary gives them."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from polyray.errors import InputError
from polyray.modules.changes import SparseChange
from polyray.skills.card import BackboneCard, FullBackbone
from polyray.skills.skill import HEADS, Skill, ancestor, load_skill, seen_from
from polyray.skills.sparse_delta import KIND, SparseDelta, on_network, sparse_delta, sparse_skill
from polyray.skills.vocabulary import read_rows
from polyray.sparsity.largest import index_type


def lift_to_full(
    folder: Path, out: Path, backbone: BackboneCard, network: nn.Module, *, trimmed: Path | None = None,
    without_heads: bool = False,
) -> Skill:  # fmt: skip
    """The skill in `folder`, trained on a trimmed copy of `backbone`, as a skill of `backbone` to be saved as `out`.

    With it the full backbone has, in the rows of the copy's pieces, the parameters of the copy bit for bit.

    Args:
        network: the full backbone.
        trimmed: folder of the copy, where it is not at the path that the card names any more.
        without_heads: whether heads with an entry for each piece of the vocabulary are left out.

    Raises:
        InputError: the skill is of no trimmed copy of this backbone, the copy's vocabulary is not there, or the skill
            has heads or modules of the vocabulary's size, whose entries for other pieces nobody has trained.
    """
    skill = load_skill(folder)
    full = _full_backbone(skill, backbone)
    rows = read_rows(trimmed or Path(skill.card.backbone.name), full)
    heads = _heads(skill, len(rows), without_heads)
    if skill.card.kind == KIND:
        tensors = _tensors_of_delta(skill, rows, network)
    else:
        _refuse_sites(skill, network, full)
        tensors = skill.modules
    card = skill.card.model_copy(
        update={
            "name": out.name, "backbone": backbone.model_copy(update={"dtype": skill.card.backbone.dtype}),
            "parents": (), "lifted_from": ancestor(folder, out),
            "base": tuple(seen_from(out, folder, base) for base in skill.card.base),
            "started_from": tuple(seen_from(out, folder, start) for start in skill.card.started_from),
        }
    )  # fmt: skip
    return Skill(card=card, tensors={**tensors, **heads})


def _full_backbone(skill: Skill, backbone: BackboneCard) -> FullBackbone:
    """The full backbone that the skill's card names.

    Raises:
        InputError: it names none, or another one than `backbone`.
    """
    card = skill.card
    full = card.backbone.trimmed_from
    if full is None:
        raise InputError(f"Skill {card.name!r} was trained on {card.backbone.name!r}, which is no trimmed backbone.")
    if card.trained_backbone is not None:
        raise InputError(f"Skill {card.name!r} sits on a backbone that was trained with it, after it was trimmed.")
    if full.fingerprint != backbone.fingerprint:
        raise InputError(
            f"Skill {card.name!r} was trained on a trimmed copy of {full.name!r} with the fingerprint "
            f"{full.fingerprint[:12]}; {backbone.name!r} has {backbone.fingerprint[:12]}."
        )
    return full


def _heads(skill: Skill, n_pieces: int, without_heads: bool) -> dict[str, Tensor]:
    """The heads' tensors under their names in the skill, none of them of the vocabulary's size.

    Raises:
        InputError: one is, and `without_heads` does not let it out.
    """
    large = [name for name, head in skill.heads.items() if n_pieces in head.shape]
    if large and not without_heads:
        raise InputError(
            f"Skill {skill.card.name!r} has the head {large[0]!r} with an entry for each of {n_pieces} pieces; those "
            "of the other pieces were not trained. A skill without such heads is written with --without-heads."
        )
    groups = {name.partition("/")[0] for name in large}  # a head without one of its tensors is none
    return {f"{HEADS}{name}": head for name, head in skill.heads.items() if name.partition("/")[0] not in groups}


def _tensors_of_delta(skill: Skill, rows: Tensor, network: nn.Module) -> Mapping[str, Tensor]:
    """The tensors of a sparse delta of the full network."""
    parameters = dict(network.named_parameters(remove_duplicate=False))
    changes = {}
    for name, change in sparse_delta(skill).changes.items():
        shape = tuple(parameters[name].shape) if name in parameters else change.shape
        trimmed = shape != change.shape and change.shape == (len(rows), *shape[1:])
        changes[name] = _on_full(change, rows, shape) if trimmed else change
    delta = SparseDelta(changes=changes)
    on_network(delta, network, f"The skill {skill.card.name!r}")
    return sparse_skill(delta, name=skill.card.name, backbone=skill.card.backbone).tensors


def _on_full(change: SparseChange, rows: Tensor, shape: tuple[int, ...]) -> SparseChange:
    """A change of a tensor whose row i is row rows[i] of one of this shape; ascending rows keep indices ascending."""
    width = math.prod(shape[1:])
    index = change.support.cpu().long()
    support = rows[index // width] * width + index % width
    return SparseChange(values=change.values, support=support.to(index_type(math.prod(shape))), shape=shape)


def _refuse_sites(skill: Skill, network: nn.Module, full: FullBackbone) -> None:
    """Refuse modules on layers of the vocabulary's size.

    Raises:
        InputError: there are some.
    """
    layers = dict(network.named_modules())
    for site in skill.card.sites:
        if site not in layers:
            raise InputError(f"The backbone has no layer {site!r}, on which the skill {skill.card.name!r} sits.")
        if any(full.n_pieces in parameter.shape for parameter in layers[site].parameters()):
            raise InputError(
                f"Skill {skill.card.name!r} has modules on {site!r}, a layer with an entry for each piece of the "
                "vocabulary: those of the other pieces were not trained."
            )
