"""A library: a folder of skill folders."""

from pathlib import Path

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.skills.card import CARD, Card
from polyray.skills.skill import Skill, load_card, load_skill


def cards(folder: Path) -> dict[str, Card]:
    """The cards of the skills in `folder`, by the name of their folders.

    Raises:
        InputError: there is no such folder, it holds no skill, or a card is unreadable.
    """
    found = {path.parent.name: load_card(path.parent) for path in sorted(folder.glob(f"[!.]*/{CARD}"))}
    if not found:
        raise InputError(f"{folder} holds no skills: expected folders with a {CARD} in each.")
    return found


def find_skill(folder: Path, name: str) -> Skill:
    """The skill called `name` in the library `folder`, its sums checked.

    Raises:
        InputError: there is none of that name (the message gives the nearest), or it is damaged.
    """
    known = cards(folder)
    if name not in known:
        raise InputError(f"{folder} holds no skill called {name!r}. {suggestion(name, known)}")
    return load_skill(folder / name)


def verify(folder: Path) -> dict[str, Card]:
    """Check the sums of all skills in `folder`, and that they sit on one backbone.

    Raises:
        InputError: a skill is damaged, or two were trained on different backbones.
    """
    known = cards(folder)
    for name in known:
        load_skill(folder / name)
    backbones = {card.backbone.fingerprint: name for name, card in known.items()}
    if len(backbones) > 1:
        first, second = list(backbones.values())[:2]
        raise InputError(f"The skills {first!r} and {second!r} in {folder} were trained on different backbones.")
    return known
