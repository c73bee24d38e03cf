"""A metric's interface, and the metrics of answers."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Function = Callable[[Sequence[Any], Sequence[Any]], float]


class Metric(Protocol):
    """A score of a task's predictions; an entry of METRICS."""

    @property
    def name(self) -> str:
        """Its name in results."""

    @property
    def scores(self) -> str:
        """The kind of predictions that it scores, as objectives name it (`Objective.predicts`)."""

    def score(self, predictions: Sequence[Any], examples: Sequence[Any]) -> dict[str, float]:
        """First the metric itself under its name, 1 is perfect and never NaN; then more figures, under other names.

        Raises:
            ValueError: there is nothing to score, or not one prediction for each example.
        """


@dataclass(frozen=True, kw_only=True)
class AnswerMetric:
    """A metric of predicted texts against accepted answers.

    function: from the predictions and, for each, its accepted answers (the first is the target) to one number.
    """

    name: str
    function: Function
    scores: str = "answers"
    about: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", first_line(self.function))

    def score(self, predictions: Sequence[str], examples: Sequence[Any]) -> dict[str, float]:
        """The number for predictions without spaces around them; examples have `outputs`, their accepted answers.

        Raises:
            ValueError: there are no examples, or not one prediction for each.
        """
        answers = [example.outputs for example in examples]
        return {self.name: self.function([prediction.strip() for prediction in predictions], answers)}


def first_line(function: Callable[..., Any]) -> str:
    """The first line of a function's documentation."""
    return (inspect.getdoc(function) or "").partition("\n")[0]
