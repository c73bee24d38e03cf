"""Answering in pieces, each of which is kept once it is done."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from polyray.files import make_folders
from polyray.formats import file_name
from polyray.responding.members import MemberSource, load_members
from polyray.responding.recipe import RespondRecipe
from polyray.responding.system import Ensemble
from polyray.runs.notes import sealed_outcome
from polyray.runs.sealed import write_sealed
from polyray.skills.card import CARD
from polyray.skills.skill import load_card
from polyray.tasks import Suite, load_suite
from polyray.training.data import examples_fingerprint, first_examples

PIECES = "pieces"


@dataclass(frozen=True, kw_only=True)
class RespondPiece:
    """Some examples of one task, from the example `start` on; results go below `out`.

    fingerprint: of all that decides the responses; see `fingerprint_of`.
    """

    recipe: RespondRecipe
    out: Path
    task: str
    start: int
    fingerprint: str

    def moved(self, out: Path) -> Self:
        """The piece with another folder."""
        return replace(self, out=out)

    @property
    def file(self) -> Path:
        """The file of its responses."""
        return self.out / PIECES / f"{file_name(self.task)}-{self.start:07d}.json"

    def outcome(self) -> dict[str, Any] | None:
        """The outcome of an earlier start with the same networks; None where there is none, or it was altered."""
        return sealed_outcome(self.file, "The examples are answered again.", fingerprint=self.fingerprint)


def fingerprint_of(recipe: RespondRecipe, examples: Sequence[Any]) -> str:
    """sha256 of all that decides the responses to some examples: these, the options, and the networks.

    Skills count by their own fingerprints, other folders by the names, sizes and times of their files.
    """
    values = recipe.model_dump(mode="json", exclude={"score", "responses"})
    values["networks"] = {name: _contents(source) for name, source in recipe.sources().items()}
    values["examples"] = examples_fingerprint(examples)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _contents(source: MemberSource) -> Any:
    folder = Path(source.path)
    if (folder / CARD).exists():
        return load_card(folder).fingerprint
    files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
    return [[str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def examples_of(recipe: RespondRecipe, suite: Suite, name: str) -> tuple[Any, ...]:
    """The examples of a task that are answered."""
    return first_examples(suite.tasks[name], recipe.score.split, None, recipe.evaluation.max_examples)


def answer_piece(piece: RespondPiece) -> dict[str, Any]:
    """Answer the examples of a piece, write the responses, and return them.

    Draws of a piece depend on the seed and on its place alone.

    Raises:
        InputError: a network cannot be loaded, or a text is too long.
        StorageError: the disk refused.
    """
    recipe = piece.recipe
    suite = load_suite(recipe.tasks)
    examples = examples_of(recipe, suite, piece.task)[piece.start : piece.start + recipe.score.piece]
    evaluation = recipe.evaluation
    ensemble = Ensemble(
        members=load_members(recipe.sources(), [piece.task], share=recipe.share), suite=suite, text=recipe.text,
        evaluation=evaluation.model_copy(update={"seed": evaluation.seed + piece.start}),
    )  # fmt: skip
    responses, n_cut = recipe.system.system().respond(ensemble, examples)
    outcome = {
        "fingerprint": piece.fingerprint, "too_long": n_cut,
        "responses": [{"prediction": response.text, **response.details} for response in responses],
    }  # fmt: skip
    make_folders(piece.file.parent)
    write_sealed(piece.file, outcome)
    return outcome


def joined(pieces: Sequence[RespondPiece], outcomes: Mapping[int, Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The responses of each task in the order of its examples; outcomes: by index of the piece."""
    responses: dict[str, list[Any]] = {}
    for index, piece in enumerate(pieces):
        responses.setdefault(piece.task, []).extend(outcomes[index]["responses"])
    return responses
