"""The commands `polyray skills export` and `import`: skills as other libraries have them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from polyray.cli.outputs import refuse_taken, writing_to
from polyray.errors import InputError
from polyray.lookup import lookup


@dataclass(frozen=True, kw_only=True)
class Format:
    """A form in which another library has skills.

    noun: for such a folder. read: from its path or name on the Hub, the skill's name and the loaded backbone to the
    skill. write: from skill, path and PEFT's task_type to the folder.
    """

    noun: str
    has_task_type: bool
    read: Callable[[str, str, Any], Any]
    write: Callable[[Any, Path, str | None], None]


def export(
    skill: Annotated[
        Path, typer.Argument(metavar="NAME_OR_FOLDER", help="Folder of a skill, such as RUN/skills/NAME.")
    ],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the adapter; it must not be there yet.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Form of the folder: peft, composable_sft.")],
    task_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="PEFT's task_type, such as CAUSAL_LM or SEQ_2_SEQ_LM.")
    ] = None,
) -> None:
    """Write a skill as another library loads it."""
    form = lookup(FORMATS, to, "format")
    if task_type is not None and not form.has_task_type:
        raise InputError(f"--task-type is PEFT's: it goes with --to peft, not with --to {to}.")
    refuse_taken(out)
    library = import_module("polyray.skills.library")
    loaded = library.find_skill(skill.parent, skill.name)
    if library.sits_on_trained_backbone(skill):
        raise InputError(
            f"The skill in {skill} sits on a backbone that was trained with it; an adapter holds the skill alone and "
            "would be put on the weights from before."
        )
    with writing_to(out):
        form.write(loaded, out, task_type)
    typer.echo(f"The skill {loaded.card.name!r} is in {out}, {form.noun} of {loaded.card.backbone.name}.")


def import_skill(
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="Folder of an adapter; of composable-sft also its name on the Hub.")
    ],
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the skill; it must not be there yet.")],
    source: Annotated[str, typer.Option("--from", metavar="FORMAT", help="Form of it: peft, composable_sft.")],
    backbone: Annotated[str, typer.Option(metavar="NAME", help="The network that it was trained on.")],
    revision: Annotated[str, typer.Option(metavar="COMMIT", help="Of a network on the Hub.")] = "",
) -> None:
    """Make a skill of an adapter that another library wrote."""
    form = lookup(FORMATS, source, "format")
    refuse_taken(out)
    network = import_module("polyray.backbones").load_backbone(backbone, revision)
    skill = form.read(adapter, out.name, network)
    with writing_to(out):
        import_module("polyray.skills.skill").save_skill(skill, out)
    entries = f"{skill.card.options['entries']:,} entries of " if "entries" in skill.card.options else ""
    sites = f"{entries}{len(skill.card.sites)} sites on {network.name}"
    typer.echo(f"The adapter is the skill {out.name!r} in {out}, with {sites}.")


def _read_peft(adapter: str, name: str, backbone: Any) -> Any:
    """The skill of PEFT's folder, which fits the backbone."""
    if not Path(adapter).is_dir():
        raise InputError(f"{adapter} is no folder; expected that of an adapter.")
    skill = import_module("polyray.skills.peft").import_peft(
        adapter, name=name, backbone=_card(backbone), network=backbone.network
    )
    import_module("polyray.training.single").put_on(backbone, skill, [name])  # refuses what does not fit
    return skill


def _write_peft(skill: Any, out: Path, task_type: str | None) -> None:
    """Write PEFT's folder; without the backbone's layers, and with a note on stderr, where they cannot be found."""
    try:
        network = _layers(skill.card.backbone)
    except InputError as error:
        network = None
        typer.echo(
            "polyray: fan_in_fan_out is left out of the adapter's config, for the backbone's layers are unknown: "
            f"{error} PEFT sets it itself, with a warning, when it loads the adapter.",
            err=True,
        )
    import_module("polyray.skills.peft").export_peft(skill, out, task_type=task_type, network=network)


def _read_sft(adapter: str, name: str, backbone: Any) -> Any:
    """The skill of composable-sft's folder or repository, which fits the backbone."""
    return import_module("polyray.skills.composable_sft").import_composable_sft(
        adapter, name=name, backbone=_card(backbone), network=backbone.network
    )


def _write_sft(skill: Any, out: Path, task_type: str | None) -> None:
    """Write composable-sft's folder."""
    layers = _layers(skill.card.backbone)
    import_module("polyray.skills.composable_sft").export_composable_sft(skill, out, network=layers)


def _card(backbone: Any) -> Any:
    return import_module("polyray.training.multitask").backbone_card(backbone)


def _layers(card: Any) -> Any:
    """The network of a card's backbone without its weights.

    Raises:
        InputError: it cannot be found.
    """
    return import_module("polyray.backbones.skeleton").load_skeleton(card.name, card.revision).model


FORMATS = {
    "peft": Format(noun="a LoRA adapter", has_task_type=True, read=_read_peft, write=_write_peft),
    "composable_sft": Format(noun="a sparse fine-tuning", has_task_type=False, read=_read_sft, write=_write_sft),
}
"""Forms of other libraries, by name. Modules are imported by name, as in polyray.cli.app: they bring torch along."""
