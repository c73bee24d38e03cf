"""The commands `polyray backbones ...`."""

import json
from dataclasses import asdict
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from polyray.cli.arguments import AsJson
from polyray.cli.outputs import refuse_taken, writing_to

app = typer.Typer(help="Prepare pretrained networks.", no_args_is_help=True)


class Characters(StrEnum):
    """Pieces of one character that stay in a trimmed vocabulary."""

    ALL = "all"
    TEXT = "text"


@app.callback()
def backbones() -> None:
    """Prepare pretrained networks."""  # one command alone would not be a group


@app.command()
def trim(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the network, or its name on the Hub.")],
    text: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE|FOLDER", help="UTF-8 text whose pieces stay, or a folder of *.txt; may stand again."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the trimmed one; it must not be there yet.")],
    most_frequent: Annotated[
        int, typer.Option(metavar="N", min=0, help="The N most frequent pieces of the vocabulary stay in any case.")
    ] = 0,
    keep_characters: Annotated[
        Characters, typer.Option(help="Pieces of one character that stay: all, or those that the texts use.")
    ] = Characters.ALL,
    as_json: AsJson = False,
) -> None:
    """Copy a network without the pieces of vocabulary that given texts do not use.

    On the texts the copy has the same pieces and outputs as the network, which is checked before it is put in place.
    """
    refuse_taken(out)
    with writing_to(out):
        trimmed = import_module("polyray.backbones.trimming").trim(
            folder, text, out, n_frequent=most_frequent, all_characters=keep_characters is Characters.ALL
        )
    if as_json:
        typer.echo(json.dumps(asdict(trimmed), indent=2))
        return
    share = 100 * trimmed.n_pieces / trimmed.n_full_pieces
    typer.echo(
        f"{out} has {trimmed.n_pieces:,} of {trimmed.n_full_pieces:,} pieces ({share:.1f} %) and "
        f"{trimmed.n_parameters / 1e6:.1f} of {trimmed.n_full_parameters / 1e6:.1f} M parameters. It reads the "
        f"texts as {folder} does; outputs differ by {trimmed.difference:.1g} at most."
    )
