"""Plain generation, and generation with control tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from polyray.config import NoOptions, Section
from polyray.objectives import EvaluationOptions
from polyray.responding.system import Ensemble, Response
from polyray.tasks import Task
from polyray.training.evaluation import predictions


class Plain:
    """The network's own answer, by beams, draws or greedily."""

    about: ClassVar[str] = "the network's own answer"
    Options: ClassVar[type[Section]] = NoOptions
    unread: ClassVar[Mapping[str, str]] = {"share": "one network answers"}
    dialogue: ClassVar[bool] = False

    def __init__(self, options: Section) -> None:
        pass

    def helpers(self) -> Mapping[str, str]:
        """None."""
        return {}

    def check(self, evaluation: EvaluationOptions, tasks: Sequence[Task]) -> None:
        """Accept everything."""

    def respond(self, ensemble: Ensemble, examples: Sequence[Any]) -> tuple[list[Response], int]:
        """The predictions of the network."""
        data = ensemble.encode(examples)
        with ensemble.main.in_force():
            texts = predictions(ensemble.main.network, data, ensemble.evaluation, ensemble.text.max_output)
        return [Response(text=text) for text in texts], sum(row.cut for row in data.rows)


class ControlTokenOptions(Section):
    """The tokens that ask for a kind of answer."""

    tokens: tuple[str, ...] = Field(("<high-prec>", "<entailed>"), min_length=1)
    """Control tokens before every input, in place of those of its task."""


class ControlTokens:
    """Generation under the control tokens of the best answers (CTRL).

    Rashkin et al. 2021 (arXiv:2107.06963), section 4. The network was trained with tokens that describe each response.
    """

    about: ClassVar[str] = "the network's answer under fixed control tokens (CTRL)"
    Options: ClassVar[type[Section]] = ControlTokenOptions
    unread: ClassVar[Mapping[str, str]] = Plain.unread
    dialogue: ClassVar[bool] = True

    def __init__(self, options: ControlTokenOptions) -> None:
        self._tokens, self._plain = options.tokens, Plain(NoOptions())

    def helpers(self) -> Mapping[str, str]:
        """None."""
        return {}

    def check(self, evaluation: EvaluationOptions, tasks: Sequence[Task]) -> None:
        """Accept everything."""

    def respond(self, ensemble: Ensemble, examples: Sequence[Any]) -> tuple[list[Response], int]:
        """The predictions of the network for examples with these tokens."""
        return self._plain.respond(ensemble, [replace(example, control=self._tokens) for example in examples])
