"""One response of a dialogue: the turns before it, the knowledge it may use, the accepted responses."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

Speaker = Literal["user", "system"]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """An utterance of the user, or of the system that answers."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, kw_only=True)
class DialogueExample:
    """A response to be given by the system, grounded in knowledge.

    history: the turns before it, oldest first. knowledge: snippets, none where it needs none. outputs: accepted
    responses, the first is the training target; none where it is to be predicted. control: tokens before the input
    that say how to answer. instruction: the message of a chat that tells the system its role. location: FILE:LINE, or
    FILE and the numbers of dialogue and turn; two examples that differ in it alone are equal.
    """

    task: str
    history: tuple[Turn, ...]
    knowledge: tuple[str, ...]
    outputs: tuple[str, ...]
    control: tuple[str, ...] = ()
    instruction: str = ""
    location: str = field(compare=False)

    @property
    def target(self) -> str:
        """The response to learn; empty where there is none."""
        return self.outputs[0] if self.outputs else ""

    @property
    def line(self) -> str:
        """All of it as JSON, as texts may have several lines."""
        return json.dumps(self.record(), ensure_ascii=True)

    def record(self) -> dict[str, Any]:
        """History, knowledge and outputs; control tokens and instruction where there are some."""
        extra = {"control": list(self.control), "instruction": self.instruction}
        return {
            "history": [{"speaker": turn.speaker, "text": turn.text} for turn in self.history],
            "knowledge": list(self.knowledge),
            "outputs": list(self.outputs),
            **{name: value for name, value in extra.items() if value},
        }
