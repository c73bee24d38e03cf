"""The commands `polyray skills ...`."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer
import yaml

from polyray.errors import InputError

app = typer.Typer(help="Look into folders of skills.", no_args_is_help=True)

Library = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of skill folders, such as RUN/skills.")]


@app.command("list")
def list_skills(
    folder: Library,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as one JSON document.")] = False,
) -> None:
    """List the skills in a folder: name, kind, backbone, tasks."""
    cards = _library().cards(folder)
    if as_json:
        typer.echo(json.dumps({name: card.model_dump(mode="json") for name, card in cards.items()}, indent=2))
        return
    width = max(map(len, cards))
    for name, card in cards.items():
        tasks = ", ".join(card.tasks[:3]) + (f", ... ({len(card.tasks)} in all)" if len(card.tasks) > 3 else "")
        typer.echo(f"{name:{width}}  {card.kind}  {card.backbone.name}  {tasks}".rstrip())


@app.command()
def show(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of one skill.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print one skill's card."""
    card = import_module("polyray.skills.skill").load_card(folder).model_dump(mode="json")
    text = json.dumps(card, indent=2) + "\n" if as_json else yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
    typer.echo(text, nl=False)


@app.command()
def verify(folder: Library) -> None:
    """Check that the skills in a folder, and the inventory beside them, are whole and belong to one backbone."""
    cards = _library().verify(folder)
    (backbone, *_) = (card.backbone.name for card in cards.values())
    typer.echo(f"{len(cards)} skills in {folder} are whole, all for the backbone {backbone!r}.")


@app.command()
def lift(
    folder: Library,
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task that the skills were trained on.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the skill; it must not be there yet.")],
) -> None:
    """Write the one skill that a trained task uses: the weighted sum of an inventory's skills."""
    if out.exists():
        raise InputError(f"{out} is there already. Choose another folder.")
    # torch, which both bring along, takes seconds, and a mistyped command should not wait for it
    inventory = import_module("polyray.skills.inventory").load_inventory(folder)
    skill = import_module("polyray.skills.lifting").lift(inventory, task, out)
    parents = ", ".join(f"{parent.name}" for parent in skill.card.parents)
    typer.echo(f"The skill of {task!r} is in {out}: a weighted sum of {parents}.")


def _library() -> ModuleType:
    return import_module("polyray.skills.library")  # by name, as in polyray.cli: it brings torch with it
