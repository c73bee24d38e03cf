"""Options of texts and of predictions."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from polyray.decoding import DecodingOptions
from polyray.skills.form import TextOptions


class EvaluationOptions(DecodingOptions):
    """Decoding of predictions, and the number of examples."""

    read_by: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "tree": ("parsing",),
        **dict.fromkeys(("method", *DecodingOptions.model_fields), ("answers", "dialogue", "chat")),
    }

    method: Literal["auto", "generate", "rank"] = "auto"
    """Write the answer, or choose the likeliest of the task's answers; auto: encoders rank, others generate."""
    tree: Literal["mst", "greedy"] = "mst"
    """Dependency trees: the best tree with one root, or the best head of each word by itself, which may be no tree."""
    batch: int = Field(64, ge=1)
    """Examples at once."""
    max_examples: int = Field(0, ge=0)
    """Test examples of a task at most, the first ones; 0: all."""


class ValidationOptions(EvaluationOptions):
    """Decoding of predictions, the number of examples, and validation while training."""

    every: int = Field(0, ge=0)
    """Updates between two validations on the training tasks' dev examples, with one more at the end; 0: none.
    Such examples must not be trained on: `tasks.train_splits=[train]`."""
    dev_examples: int = Field(16, ge=0)
    """Dev examples of a task in a validation at most, the first ones of all few-shot splits; 0: all."""

    def unread(self) -> Mapping[str, str]:
        """The number of dev examples where none is scored."""
        return {**super().unread(), **({} if self.every else {"dev_examples": "evaluation.every is 0"})}


__all__ = ["EvaluationOptions", "TextOptions", "ValidationOptions"]
