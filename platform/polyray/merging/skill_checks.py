"""Skills that are merged must be whole, and of the backbone and the skills beneath that the recipe names."""

from collections.abc import Sequence
from pathlib import Path

from polyray.errors import InputError
from polyray.merging.model_files import open_model
from polyray.merging.recipe import MergeRecipe
from polyray.merging.skill_files import is_skill
from polyray.merging.stored_network import StoredNetwork
from polyray.skills.card import CARD, Ancestor, check_backbone, check_sums
from polyray.skills.skill import load_card


def check_skills(recipe: MergeRecipe) -> None:
    """Refuse skills that do not belong to the base.

    Raises:
        InputError: one is altered, of another backbone, was trained together with it, or on top of other skills than
            `base_skills`.
    """
    parts = [part.model for part in recipe.parts if is_skill(part.model)]
    if not parts and not recipe.base_skills:
        return
    with open_model(Path(recipe.base)) as base:
        fingerprint = StoredNetwork(base).fingerprint()
    for number, path in enumerate(recipe.base_skills):
        check_backbone(load_card(Path(path)), fingerprint)
        check_skill(Path(path), recipe.base_skills[:number])
    for path in parts:
        check_backbone(load_card(Path(path)), fingerprint)
        check_skill(Path(path), recipe.base_skills)


def check_skill(folder: Path, beneath: Sequence[str]) -> None:
    """Refuse a skill that is altered, or was trained on top of other skills.

    Args:
        beneath: folders of the skills that lie beneath it in the merge.

    Raises:
        InputError: that is so.
    """
    card = load_card(folder)
    check_sums(folder, card.sha256, CARD)
    if card.trained_backbone is not None:
        raise InputError(f"The skill in {folder} sits on a backbone that was trained with it: it cannot be merged.")
    fingerprints = [load_card(Path(path)).fingerprint for path in beneath]
    if [ancestor.fingerprint for ancestor in card.base] != fingerprints:
        raise InputError(
            f"The skill in {folder} was trained on top of {_listed(card.base, folder)}; the merge has base_skills="
            f"[{', '.join(beneath)}]: set it to what lay beneath the parts."
        )


def _listed(skills: Sequence[Ancestor], folder: Path) -> str:
    return ", ".join(str(folder / skill.path) for skill in skills) or "no other skill"
