"""Options of texts and of predictions."""

from typing import Literal

from pydantic import Field

from polyray.config import Section


class TextOptions(Section):
    """Lengths of texts."""

    max_input: int = Field(512, ge=1)
    """Tokens of an input at most; the backbone's own limit holds too."""
    max_output: int = Field(64, ge=1)
    """Tokens of an answer at most, in training and in generation."""
    too_long: Literal["error", "truncate"] = "error"
    """What to do with a longer text: stop before training and count them, or cut them and report how many."""


class EvaluationOptions(Section):
    """Decoding of predictions, and the number of examples."""

    method: Literal["auto", "generate", "rank"] = "auto"
    """Write the answer, or choose the likeliest of the task's answers; auto: encoders rank, others generate."""
    beams: int = Field(1, ge=1)
    """Beams of the search; 1 is greedy."""
    sample: bool = False
    """Draw tokens instead of searching."""
    temperature: float = Field(1.0, gt=0)
    """Temperature of the drawing."""
    batch: int = Field(64, ge=1)
    """Examples at once."""
    max_examples: int = Field(0, ge=0)
    """Test examples of a task at most, the first ones; 0: all."""
