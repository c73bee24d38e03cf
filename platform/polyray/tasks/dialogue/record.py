"""A response as data sets have it: an example with what they say about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polyray.tasks.dialogue.example import DialogueExample


@dataclass(frozen=True, kw_only=True)
class Record:
    """A response with the annotations from which training data of experts and anti-experts are chosen.

    dialogue: name of its dialogue; records of one dialogue stay in one split. labels: annotations of the response, or
    of `original`: the response from before it was edited, empty where it was not.
    """

    example: DialogueExample
    dialogue: str
    labels: tuple[str, ...] = ()
    original: str = ""


Reader = Callable[[str], Sequence[Record]]  # called with the name of the task
Splits = Mapping[str, Sequence[Record]]
