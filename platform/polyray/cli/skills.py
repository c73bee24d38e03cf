"""The commands `polyray skills ...`."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
import yaml

from polyray.cli.outputs import refuse_taken, writing_to
from polyray.errors import InputError
from polyray.lookup import lookup

FORMATS = {"peft": "a LoRA adapter as the library PEFT saves it"}  # of other libraries, that skills go to and come from

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


@app.command()
def export(
    skill: Annotated[
        Path, typer.Argument(metavar="NAME_OR_FOLDER", help="Folder of a skill, such as RUN/skills/NAME.")
    ],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the adapter; it must not be there yet.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Form of the folder: peft.")],
    task_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="PEFT's task_type, such as CAUSAL_LM or SEQ_2_SEQ_LM.")
    ] = None,
) -> None:
    """Write a skill as another library loads it."""
    lookup(FORMATS, to, "format")
    refuse_taken(out)
    loaded = _library().find_skill(skill.parent, skill.name)
    if _library().sits_on_trained_backbone(skill):
        raise InputError(
            f"The skill in {skill} sits on a backbone that was trained with it; an adapter holds the skill alone and "
            "would be put on the weights from before."
        )
    network = _layers_of(loaded.card.backbone)
    with writing_to(out):
        import_module("polyray.skills.peft").export_peft(loaded, out, task_type=task_type, network=network)
    typer.echo(f"The skill {loaded.card.name!r} is in {out}, a LoRA adapter of {loaded.card.backbone.name}.")


@app.command("import")
def import_skill(
    adapter: Annotated[Path, typer.Argument(metavar="PEFT_FOLDER", help="Folder of an adapter.")],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the skill; it must not be there yet.")],
    source: Annotated[str, typer.Option("--from", metavar="FORMAT", help="Form of the adapter: peft.")],
    backbone: Annotated[str, typer.Option(metavar="NAME", help="The network that it was trained on.")],
    revision: Annotated[str, typer.Option(metavar="COMMIT", help="Of a network on the Hub.")] = "",
) -> None:
    """Make a skill of an adapter that another library wrote."""
    lookup(FORMATS, source, "format")
    refuse_taken(out)
    if not adapter.is_dir():
        raise InputError(f"{adapter} is no folder; expected that of an adapter.")
    network = import_module("polyray.backbones").load_backbone(backbone, revision)
    card = import_module("polyray.training.multitask").backbone_card(network)
    skill = import_module("polyray.skills.peft").import_peft(
        adapter, name=out.name, backbone=card, network=network.network
    )
    import_module("polyray.training.model").put_on(network, skill, out.name)  # refuses what does not fit
    with writing_to(out):
        import_module("polyray.skills.skill").save_skill(skill, out)
    typer.echo(f"The adapter is the skill {out.name!r} in {out}, with {len(skill.card.sites)} sites on {network.name}.")


def _layers_of(backbone: Any) -> Any:
    """The network of a card's backbone without its weights; None, and a note on stderr, where it cannot be found."""
    try:
        return import_module("polyray.backbones.skeleton").load_skeleton(backbone.name, backbone.revision).model
    except InputError as error:
        typer.echo(
            "polyray: fan_in_fan_out is left out of the adapter's config, for the backbone's layers are unknown: "
            f"{error} PEFT sets it itself, with a warning, when it loads the adapter.",
            err=True,
        )
        return None


def _library() -> ModuleType:
    return import_module("polyray.skills.library")  # by name, as in polyray.cli: it brings torch with it
