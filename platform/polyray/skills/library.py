"""A library: a folder of skill folders."""

from pathlib import Path

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.skills.blending import parents_resolve
from polyray.skills.card import CARD, Card
from polyray.skills.inventory import CARD as INVENTORY_CARD
from polyray.skills.inventory import FOLDER, load_inventory
from polyray.skills.skill import Skill, load_card, load_skill


def cards(folder: Path) -> dict[str, Card]:
    """The cards of the skills in `folder`, by the name of their folders.

    Raises:
        InputError: there is no such folder, it holds no skill, or a card is unreadable.
    """
    by_name = {path.parent.name: load_card(path.parent) for path in sorted(folder.glob(f"[!.]*/{CARD}"))}
    if not by_name:
        raise InputError(f"{folder} holds no skills: expected folders with a {CARD} in each.")
    return by_name


def find_skill(folder: Path, name: str) -> Skill:
    """The skill called `name` in the library `folder`, its sums checked.

    Raises:
        InputError: there is none of that name (the message gives the nearest), or it is damaged.
    """
    by_name = cards(folder)
    if name not in by_name:
        raise InputError(f"{folder} holds no skill called {name!r}. {suggestion(name, by_name)}")
    return load_skill(folder / name)


def sits_on_trained_backbone(folder: Path) -> bool:
    """Whether the skill in `folder` was trained together with its backbone, of whatever form the skill's folder is.

    Raises:
        InputError: there is no skill, or the inventory beside it is damaged.
    """
    if load_card(folder).trained_backbone is not None:
        return True
    library = folder.resolve().parent
    if not (library / FOLDER / INVENTORY_CARD).exists():
        return False
    inventory = load_inventory(library)
    return folder.resolve().name in inventory.card.skills and inventory.trained_backbone(library) is not None


def verify(folder: Path) -> dict[str, Card]:
    """Check all skills in `folder`, and the inventory beside them if there is one, of language or of an agent.

    Sums agree, all skills sit on one backbone, parents that a card names are where it says, and the skills that the
    inventory names are there.

    Raises:
        InputError: one of these does not hold.
    """
    by_name = cards(folder)
    for name in by_name:
        load_skill(folder / name)
    for name, card in by_name.items():
        lost = parents_resolve(folder / name, card)
        if lost:
            raise InputError(
                f"The skill {name!r} in {folder} cannot be computed again: its parents {', '.join(lost)} are not where "
                f"its {CARD} says, or have changed."
            )
    backbones = {card.backbone.fingerprint: name for name, card in by_name.items()}
    if (folder / FOLDER).exists():
        inventory = load_inventory(folder).card
        missing = [name for name in inventory.skills if name not in by_name]
        if missing:
            raise InputError(f"{folder / FOLDER} names the skill {missing[0]!r}, which is not in {folder}.")
        backbones.setdefault(inventory.backbone.fingerprint, FOLDER)
    if len(backbones) > 1:
        first, second = list(backbones.values())[:2]
        raise InputError(f"The skills {first!r} and {second!r} in {folder} were trained on different backbones.")
    return by_name
