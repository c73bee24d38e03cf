"""The command `polyray predict`."""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer

from polyray.config import field_names, load_config
from polyray.errors import InputError

FIELD = re.compile(r"[\w.]+")


def predict(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="skills=FOLDER task=NAME TEXT",
            help="RUN/skills or one skill, a task that it knows, and texts or inputs=FILE; also out=FILE, evaluation.* "
            "and text.*.",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else.")
    ] = False,
) -> None:
    """Predict with trained skills: answers, choices, tags, or the tokens under masks."""
    # torch takes seconds, and a mistyped command should not wait for it: the module is imported by name
    inputs = import_module("polyray.training.inputs")
    overrides, texts = fields_and_texts(arguments, field_names(inputs.PredictionRecipe))
    recipe = load_config(inputs.PredictionRecipe, overrides=overrides)
    with redirect_stdout(sys.stderr):  # so that no library's chatter gets between the predictions
        answered, n_cut = inputs.answer(recipe, texts)
    if n_cut:
        typer.echo(f"polyray: {n_cut} of {len(answered)} inputs are longer than the limits and were cut.", err=True)
    if as_json:
        document = {"skills": recipe.skills, "task": recipe.task, "out": recipe.out, "predictions": answered}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif recipe.out:
        typer.echo(f"{len(answered)} predictions are in {recipe.out}.")
    else:
        for fields in answered:
            typer.echo(_line(fields[inputs.PREDICTION]))


def fields_and_texts(arguments: Sequence[str], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments that set fields (section.key=value), and the others, which are texts.

    Raises:
        InputError: an argument looks like a field that is written wrongly.
    """
    sections = {name.partition(".")[0] for name in names if "." in name}
    overrides, texts = [], []
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if equals and (name in names or name.partition(".")[0] in sections):
            overrides.append(argument)
        elif equals and FIELD.fullmatch(name) and (near := get_close_matches(name, names, n=1, cutoff=0.7)):
            raise InputError(
                f"No field is called {name!r} (command line, {argument!r}). Did you mean {near[0]!r}? A text that "
                "begins like this can stand in a file: inputs=FILE."
            )
        else:
            texts.append(argument)
    return overrides, texts


def _line(prediction: Any) -> str:
    """One line: an answer, or those of all words, each as 2:nsubj where it is a list."""
    if not isinstance(prediction, list):
        return str(prediction)
    return " ".join(":".join(map(str, word)) if isinstance(word, list) else str(word) for word in prediction)
