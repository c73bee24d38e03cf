"""Forms of tasks: how the inputs of a task are put to a network, kept beside the skills that learned it."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from polyray.config import Section


class TextOptions(Section):
    """Lengths of texts."""

    read_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "stride": ("spans",),
        **dict.fromkeys(("max_history", "max_knowledge", "layout", "packing"), ("dialogue", "chat")),
    }

    max_input: int = Field(512, ge=1)
    """Tokens of an input at most; the backbone's own limit holds too. Where an answer continues its input, as with
    causal backbones, max_output tokens of that limit are kept for the answer."""
    max_output: int = Field(64, ge=1)
    """Tokens of an answer at most, in training and in generation."""
    too_long: Literal["error", "truncate", "split"] = "error"
    """Treatment of longer texts: stop before training and count them, cut them and report how many, or split them:
    taggers read a long sentence in pieces, other objectives stop."""
    stride: int = Field(128, ge=0)
    """Tokens that two windows of a long context share, where answers are found in a context; half a window at most."""
    max_history: int = Field(384, ge=0)
    """Dialogue: tokens of the turns before a response at most; the newest turns stay, whole. 0: as many as
    max_input allows."""
    max_knowledge: int = Field(128, ge=0)
    """Dialogue: tokens of the knowledge at most; its beginning stays. 0: as many as max_input allows."""
    layout: Literal["auto", "markers"] = "auto"
    """Dialogue: turns in the chat template of a causal backbone's tokenizer, where it has one, or between the markers
    <user>, <system> and <knowledge_tag>."""
    packing: bool = False
    """Dialogue on a causal backbone: examples of a batch of training share sequences, so that little is padded; each
    sees itself alone, and the loss is the same."""


class TaskForm(Section):
    """Prompt, answers and lengths of a task: enough to put new inputs to a network without the data."""

    objective: str = "answers"
    """Objective, which puts the task to the network: see `polyray list objectives`."""
    metric: str = ""
    """Metric of its predictions: see `polyray list metrics`; empty: not known."""
    prompt: str = ""
    """Text that the network reads, with the fields of an input in braces: "[colour] {input}"; empty: not known."""
    labels: tuple[str, ...] = ()
    """Closed set of answers or tags; empty: there is none."""
    choices: Literal["labels", "own", "inline"] = "labels"
    """Source of the answers to choose among: the labels, the field `choices` of an input, or "(A) red (B) green"
    inside it."""
    control: tuple[str, ...] = ()
    """Tokens before an input that say how to answer it."""
    text: TextOptions = TextOptions()
    """Lengths of texts, as in training."""
