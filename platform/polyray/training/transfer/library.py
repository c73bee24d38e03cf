"""A library of earlier skills, looked up by the fingerprint of the recipe that trained them."""

from pathlib import Path

from polyray.errors import InputError
from polyray.skills.card import CARD
from polyray.skills.skill import load_card, load_skill


class Library:
    """The skills at and below a folder; None: an empty library."""

    def __init__(self, folder: Path | None) -> None:
        """Read all cards.

        Raises:
            InputError: there is no such folder.
        """
        if folder is not None and not folder.is_dir():
            raise InputError(f"library={folder} is no folder.")
        files = sorted(folder.rglob(CARD)) if folder is not None else []
        self._by_recipe: dict[str, Path] = {}
        for file in files:
            try:
                recipe = load_card(file.parent).recipe
            except InputError:  # of something else of that name, or damaged: it is no skill to take
                continue
            if recipe:
                self._by_recipe.setdefault(recipe, file.parent)

    def find(self, recipe: str) -> Path | None:
        """The folder of the whole skill by this recipe; None where there is none."""
        folder = self._by_recipe.get(recipe)
        if folder is None:
            return None
        load_skill(folder)  # refuses a damaged one
        return folder.absolute()
