"""A library: a folder of skill folders."""

from pathlib import Path

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.modules.layout import Layout
from polyray.routing import ROUTERS
from polyray.skills.blending import parents_resolve
from polyray.skills.card import CARD, Card, read_card
from polyray.skills.fingerprint import fingerprint
from polyray.skills.inventory import load_inventory
from polyray.skills.inventory_card import BACKBONE, FOLDER, InventoryCard
from polyray.skills.inventory_card import CARD as INVENTORY_CARD
from polyray.skills.skill import TENSORS, Skill, load_card, load_skill
from polyray.skills.tensors import check_fit, load_tensors


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

    Sums agree, those of cards too, no file is there that no card lists, all skills sit on one backbone, parents that a
    card names are where it says, and the skills of the inventory are those that were saved with it and fit its router.

    Raises:
        InputError: one of these does not hold.
    """
    by_name = cards(folder)
    for name in by_name:
        load_skill(folder / name)
    hollow = [path.parent for path in sorted(folder.glob(f"[!.]*/{TENSORS}")) if path.parent.name not in by_name]
    if hollow:
        raise InputError(f"{hollow[0]} is not whole: {CARD} is missing.")
    for name, card in by_name.items():
        lost = parents_resolve(folder / name, card)
        if lost:
            raise InputError(
                f"The skill {name!r} in {folder} cannot be computed again: its parents {', '.join(lost)} are not where "
                f"its {CARD} says, or have changed."
            )
    backbones = {card.backbone.fingerprint: name for name, card in by_name.items()}
    if (folder / FOLDER).exists():
        inventory = read_card(folder / FOLDER / INVENTORY_CARD, InventoryCard, f"{folder} holds no inventory of skills")
        missing = [name for name in inventory.skills if name not in by_name]
        if missing:
            raise InputError(f"{folder / FOLDER} names the skill {missing[0]!r}, which is not in {folder}.")
        backbones.setdefault(inventory.backbone.fingerprint, FOLDER)
    if len(backbones) > 1:
        first, second = list(backbones.values())[:2]
        raise InputError(f"The skills {first!r} and {second!r} in {folder} were trained on different backbones.")
    if (folder / FOLDER).exists():
        _verify_inventory(folder)
    return by_name


def _verify_inventory(folder: Path) -> None:
    """Check an inventory as loading it on its backbone does, as far as can be done without one."""
    inventory = load_inventory(folder)
    card, spec = inventory.card, inventory.spec
    skills = [inventory.load_skill(index) for index in range(len(card.skills))]
    sites = skills[0].card.sites
    for skill in skills[1:]:
        source = f"The skill {skill.card.name!r} in {folder}"
        if skill.card.sites != sites:
            raise InputError(f"{source} sits on other sites than {skills[0].card.name!r}.")
        check_fit(skill.tensors, skills[0].tensors, source)
    if ROUTERS[spec.routing.kind].by_task:  # the others have tensors as wide as the backbone's layers
        inventory.router(Layout(sites=sites, widths=(0,) * len(sites), n_heads=spec.modules.n_heads))
    else:
        inventory.router_state()
    backbone = load_tensors(folder / FOLDER / BACKBONE) if BACKBONE in card.sha256 else {}
    if card.backbone.options and fingerprint(backbone) != card.backbone.fingerprint:  # the network is saved here alone
        raise InputError(f"{folder / FOLDER / BACKBONE} holds other weights than the fingerprint of the backbone says.")
