"""Merging of skills into one skill: sparse ones entry by entry, LoRA by the weighted sum of their products."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.merging.fisher_entries import FisherEntries
from polyray.merging.methods import merge
from polyray.merging.operands import Operands, Part
from polyray.merging.plan import weight_and_density
from polyray.merging.recipe import MergeRecipe
from polyray.merging.skill_checks import check_skill
from polyray.merging.skill_files import is_skill
from polyray.modules.changes import SparseChange
from polyray.skills.card import Card
from polyray.skills.lora_sums import Compression, LowRank, compress, concatenate, factors, tensors_of
from polyray.skills.skill import HEADS, Skill, ancestor, load_card, load_skill, seen_from
from polyray.skills.sparse_delta import KIND, SparseDelta, sparse_delta, sparse_skill

LORA = "lora"
Merged = tuple[dict[str, Tensor], dict[str, float | int], dict[str, Any]]
"""Tensors of a skill, options of its modules, and figures for its card."""


def check_into_skill(recipe: MergeRecipe) -> str:
    """Refuse parts that cannot become one skill: the kind that they have in common.

    Raises:
        InputError: a part is no skill, they are of different kinds, backbones or skills beneath, one is altered, or
            the method cannot merge changes of this kind.
    """
    paths = [part.model for part in recipe.parts]
    if not paths:
        raise InputError("A merge needs parts: parts=[{model: SKILL, weight: 1}, ...].")
    for path in paths:
        if not is_skill(path):
            raise InputError(f"into=skill merges skills, and {path} is none: leave into at model.")
    cards = [load_card(Path(path)) for path in paths]
    for path, card in zip(paths, cards, strict=True):
        check_skill(Path(path), recipe.base_skills)
        if card.backbone.fingerprint != cards[0].backbone.fingerprint:
            raise InputError(f"The skills in {paths[0]} and {path} were trained on different backbones.")
        if card.kind != cards[0].kind or card.kind not in MERGERS:
            raise InputError(
                f"{paths[0]} is made of {cards[0].kind} modules, {path} of {card.kind}: skills become one skill where "
                f"all are {' or all '.join(MERGERS)}. into=model merges them with the backbone."
            )
    _check_method(recipe, cards[0].kind)
    return cards[0].kind


def _check_method(recipe: MergeRecipe, kind: str) -> None:
    """Refuse a method that cannot merge changes of this kind, or lacks what it needs."""
    method, options = recipe.merge.method, recipe.merge.options
    of_lora = method.coefficients is not None or method.of_products is not None
    able = of_lora if kind == LORA else method.on_changes(options)
    if not able:
        raise InputError(
            f"merge.kind={recipe.merge.kind} with these options cannot merge {kind} skills into one skill, because it "
            "looks at whole tensors. into=model merges them with the backbone."
        )
    if recipe.rank and kind != LORA:
        raise InputError(f"rank={recipe.rank} is of LoRA skills; these are {kind}.")
    if method.needs_fisher:
        lacking = [part.model for part in recipe.parts if not part.fisher]
        if lacking or (method.needs_base and not recipe.base_fisher):
            missing = f"fisher of {lacking[0]}" if lacking else "base_fisher"
            raise InputError(f"merge.kind={recipe.merge.kind} weights by Fisher information: {missing} is not set.")


def merge_into_skill(recipe: MergeRecipe, out: Path) -> Skill:
    """The merged skill, to be saved as the folder `out`.

    Raises:
        InputError: a part is damaged, or the method refuses it.
    """
    paths = [Path(part.model) for part in recipe.parts]
    skills = [load_skill(path) for path in paths]
    tensors, options, figures = MERGERS[skills[0].card.kind](recipe, skills)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{name}: the merged tensor holds numbers that are not finite.")
    return Skill(card=_card(recipe, paths, skills, out, options, figures), tensors={**tensors, **_heads(skills)})


def _card(
    recipe: MergeRecipe, paths: Sequence[Path], skills: Sequence[Skill], out: Path,
    options: dict[str, float | int], figures: Mapping[str, Any],
) -> Card:  # fmt: skip
    cards = [skill.card for skill in skills]
    first = cards[0]
    merge_options = recipe.merge.model_dump(mode="json")
    return Card(
        name=out.name, kind=first.kind, backbone=first.backbone, options=options,
        sites=tuple(dict.fromkeys(site for card in cards for site in card.sites)),
        tasks=tuple(dict.fromkeys(task for card in cards for task in card.tasks)),
        base=tuple(seen_from(out, paths[0], base) for base in first.base),
        merged_from=tuple(ancestor(path, out) for path in paths),
        merge={**merge_options, "weights": [part.weight for part in recipe.parts], **figures},
        forms={task: form for card in reversed(cards) for task, form in card.forms.items()},
        data={task: data for card in reversed(cards) for task, data in card.data.items()},
    )  # fmt: skip


def _heads(skills: Sequence[Skill]) -> dict[str, Tensor]:
    """The heads of all skills.

    Raises:
        InputError: two have a head of one name.
    """
    heads: dict[str, Tensor] = {}
    for skill in skills:
        twice = sorted(heads.keys() & {f"{HEADS}{name}" for name in skill.heads})
        if twice:
            raise InputError(f"Two of the skills have the head {twice[0]!r}: a merged skill holds one of each name.")
        heads |= {f"{HEADS}{name}": head for name, head in skill.heads.items()}
    return heads


def _merged_lora(recipe: MergeRecipe, skills: Sequence[Skill]) -> Merged:
    """Products side by side, compressed where `rank` is set."""
    products = [factors(skill) for skill in skills]
    merged, lost = {}, Compression()
    for name in dict.fromkeys(name for of_skill in products for name in of_skill):
        merged[name] = _merged_products(recipe, name, [of_skill.get(name) for of_skill in products])
        if recipe.rank and merged[name].rank > recipe.rank:
            merged[name], of_weight = compress(merged[name], recipe.rank)
            lost += of_weight
    rank = max(product.rank for product in merged.values())
    figures = {"compression_error": lost.error} if recipe.rank else {}
    return tensors_of(merged, rank), {"rank": rank, "alpha": float(rank), "n_splits": 1}, figures


def _merged_products(recipe: MergeRecipe, name: str, products: Sequence[LowRank | None]) -> LowRank:
    """The merged product of one weight; None: a skill has no module there."""
    settings = [weight_and_density(part, name) for part in recipe.parts]
    weights = [recipe.factor * weight for weight, _ in settings]
    method = recipe.merge.method
    if method.coefficients is not None:
        weights = method.coefficients(weights, recipe.merge.options)
        terms = zip(products, weights, strict=True)
        return concatenate([(product, weight) for product, weight in terms if product is not None])
    assert method.of_products is not None  # it was checked
    present = [
        (product, weight, density)
        for product, weight, (_, density) in zip(products, weights, settings, strict=True)
        if product is not None and weight
    ]
    return method.of_products(present, recipe.merge.options)


def _merged_sparse(recipe: MergeRecipe, skills: Sequence[Skill]) -> Merged:
    """The method on the union of the supports, the base's change being 0."""
    deltas = [sparse_delta(skill) for skill in skills]
    changes = {}
    with FisherEntries(recipe) as fishers:
        for name in dict.fromkeys(name for delta in deltas for name in delta.changes):
            changes[name] = _merged_entries(recipe, name, [delta.changes.get(name) for delta in deltas], fishers)
    skill = sparse_skill(SparseDelta(changes=changes), name="", backbone=skills[0].card.backbone)
    return dict(skill.tensors), dict(skill.card.options), {}


def _merged_entries(
    recipe: MergeRecipe, name: str, changes: Sequence[SparseChange | None], fishers: FisherEntries
) -> SparseChange:
    """The merged change of one parameter; None: a skill does not change it.

    Raises:
        InputError: two are of different shapes, or the method refuses them.
    """
    present = [change for change in changes if change is not None]
    shapes = sorted({change.shape for change in present})
    if len(shapes) > 1:
        raise InputError(f"The skills are of different networks: {name} is {shapes[0]} and {shapes[1]}.")
    union = torch.cat([change.support for change in present]).unique()
    parts = []
    for number, (options, change) in enumerate(zip(recipe.parts, changes, strict=True)):
        weight, density = weight_and_density(options, name)
        fisher = fishers.of_part(number, name, union, None if change is None else change.support)
        part = Part(tensor=_on(union, change), weight=recipe.factor * weight, density=density, fisher=fisher)
        parts.append(part)
    base = Part(tensor=torch.zeros(len(union)), weight=recipe.base_weight, fisher=fishers.of_base(name, union))
    try:
        values = merge(recipe.merge.method, Operands(parts=parts, base=base), recipe.merge.options)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    return replace(present[0], values=values, support=union)


def _on(union: Tensor, change: SparseChange | None) -> Tensor:
    """The values [k] of a change on a support that holds its own."""
    values = torch.zeros(len(union))
    if change is not None:
        values[torch.searchsorted(union, change.support)] = change.values.float()
    return values


MERGERS: Mapping[str, Callable[[MergeRecipe, Sequence[Skill]], Merged]] = {KIND: _merged_sparse, LORA: _merged_lora}
"""By kind of skill."""
