"""The interface of a system that answers examples, and what it works with.

To add one: a class as `System` describes it in a file of this folder, and a line in
`polyray.responding.table`. The job `respond` then reads its options as `system.*`, answers with it piece by
piece, and scores it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from polyray.config import Section
from polyray.modules.site import without_skills
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.responding.members import NetworkMember
from polyray.tasks import Suite, Task
from polyray.training.data import Encoded, encoded

MAIN = "main"  # the network that is asked; the others help it


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer, and what the system says about it, as JSON can hold it."""

    text: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Ensemble:
    """The networks of a system by name, MAIN and those that it asked for, with lengths and decoding."""

    members: Mapping[str, NetworkMember]
    suite: Suite
    text: TextOptions
    evaluation: EvaluationOptions

    @property
    def main(self) -> NetworkMember:
        """The network that is asked."""
        return self.members[MAIN]

    def encode(self, examples: Sequence[Any], text: TextOptions | None = None) -> Encoded:
        """The examples as rows, which all networks read alike.

        Args:
            text: lengths in place of the usual ones.

        Raises:
            InputError: a text is too long, or the tasks do not fit the network.
        """
        network = self.main.network
        with without_skills(network.inventory):
            return encoded(network.backbone, self.suite, examples, text or self.text)


class System(Protocol):
    """A way to answer; an entry of SYSTEMS.

    Attributes:
        about: one line.
        Options: the fields of `system.*` that it reads.
        unread: fields of the job that it does not read, each with the reason.
        dialogue: whether it answers examples of dialogues only.
    """

    about: ClassVar[str]
    Options: ClassVar[type[Section]]
    unread: ClassVar[Mapping[str, str]]
    dialogue: ClassVar[bool]

    def __init__(self, options: Any) -> None:
        """A system by options of its own class."""

    def helpers(self) -> Mapping[str, str]:
        """The networks that it needs beside the main one: folders of skills or networks by name."""

    def check(self, evaluation: EvaluationOptions, tasks: Sequence[Task]) -> None:
        """Refuse what the system cannot do.

        Raises:
            InputError: an option is missing, or does not fit the decoding.
        """

    def respond(self, ensemble: Ensemble, examples: Sequence[Any]) -> tuple[list[Response], int]:
        """The response to each example, and the number of inputs of which tokens were cut off.

        Raises:
            InputError: a text is too long.
        """
