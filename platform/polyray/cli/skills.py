"""The commands `polyray skills ...`."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer
import yaml

from polyray.cli.exchange import export, import_skill
from polyray.cli.outputs import refuse_taken, writing_to
from polyray.errors import InputError

app = typer.Typer(help="Look into folders of skills; take skills to other libraries and back.", no_args_is_help=True)

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
    operands: Annotated[
        list[str],
        typer.Argument(metavar="FOLDER [TASK] OUT", help="Skills and one of their tasks, or a skill; the new folder."),
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar="BACKBONE", help="The full backbone, for a skill of a trimmed one.")
    ] = None,
    trimmed: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The trimmed one, if it is no longer where the card says.")
    ] = None,
    without_heads: Annotated[
        bool, typer.Option("--without-heads", help="Leave out heads with an entry for each piece of the vocabulary.")
    ] = False,
) -> None:
    """Write a skill for use without what it was trained in.

    FOLDER TASK OUT: the one skill that a task uses, the weighted sum of an inventory's skills.

    FOLDER OUT --to BACKBONE: a skill that was trained on a trimmed backbone, for the full one.
    """
    n_expected = 3 if to is None else 2
    if len(operands) != n_expected:
        expected = "FOLDER TASK OUT, or FOLDER OUT --to BACKBONE"
        raise InputError(f"skills lift takes {expected}; found {' '.join(operands)!r}{f' --to {to}' if to else ''}.")
    folder, out = Path(operands[0]), Path(operands[-1])
    refuse_taken(out)
    # torch, which they bring along, takes seconds, and a mistyped command should not wait for it
    if to is not None:
        with writing_to(out):
            skill = import_module("polyray.training.lifting").lift_to(
                folder, out, to, trimmed=trimmed, without_heads=without_heads
            )
        typer.echo(f"The skill {folder.name!r} is in {out}, for {skill.card.backbone.name}.")
        return
    inventory = import_module("polyray.skills.inventory").load_inventory(folder)
    skill = import_module("polyray.skills.lifting").lift(inventory, operands[1], out)
    parents = ", ".join(f"{parent.name}" for parent in skill.card.parents)
    typer.echo(f"The skill of {operands[1]!r} is in {out}: a weighted sum of {parents}.")


app.command()(export)
app.command("import")(import_skill)


def _library() -> ModuleType:
    return import_module("polyray.skills.library")  # by name, as in polyray.cli: it brings torch with it
