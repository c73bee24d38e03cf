"""DExperts: an expert and an anti-expert weigh in at every token."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from polyray.backbones.backbone import device_of
from polyray.backbones.text import Tokens
from polyray.config import Section
from polyray.decoding.density_ratio import DensityRatio
from polyray.decoding.generation import Processor, drawing
from polyray.errors import InputError
from polyray.objectives import EvaluationOptions
from polyray.objectives.answers import written
from polyray.objectives.objective import in_batches
from polyray.responding.system import Ensemble, Response
from polyray.tasks import Task

EXPERT, ANTI_EXPERT = "expert", "anti_expert"
WRITES = {"evaluation.method": "the system writes", "evaluation.tree": "the system writes"}


class DExpertsOptions(Section):
    """The networks that weigh in, and their weights."""

    files = frozenset({"expert", "anti_expert"})

    expert: str = ""
    """Folder of a skill or of a network that was trained on good answers; empty: none weighs in."""
    anti_expert: str = ""
    """Folder of a skill or of a network that was trained on bad answers; empty: none weighs in."""
    expert_weight: float = Field(0.2, ge=0)
    """Power of the expert's probabilities. The DExperts paper has one weight for both, such as 2.0."""
    anti_expert_weight: float = Field(0.5, ge=0)
    """Power of the anti-expert's probabilities, by which is divided."""


class DExperts:
    """Generation by p(token) ~ p_main * p_expert ** b / p_anti_expert ** a.

    Liu et al. 2021 (arXiv:2105.03023), equation 2, where a = b; Daheim et al. 2024 (arXiv:2303.17574) have a = 0.5 and
    b = 0.2 in their code.
    """

    about: ClassVar[str] = "an expert and an anti-expert weigh in at every token (DExperts, density ratio)"
    Options: ClassVar[type[Section]] = DExpertsOptions
    unread: ClassVar[Mapping[str, str]] = WRITES
    dialogue: ClassVar[bool] = False

    def __init__(self, options: DExpertsOptions) -> None:
        self._options = options

    def helpers(self) -> Mapping[str, str]:
        """Expert and anti-expert, as far as they are named."""
        named = {EXPERT: self._options.expert, ANTI_EXPERT: self._options.anti_expert}
        return {name: path for name, path in named.items() if path}

    def check(self, evaluation: EvaluationOptions, tasks: Sequence[Task]) -> None:
        """Refuse a system in which nobody weighs in, and weights of networks that are not there."""
        if not self.helpers():
            raise InputError("system.kind=dexperts needs system.expert=FOLDER, system.anti_expert=FOLDER, or both.")
        for name in (EXPERT, ANTI_EXPERT):
            field = f"{name}_weight"
            if name not in self.helpers() and vars(self._options)[field] != vars(DExpertsOptions())[field]:
                raise InputError(f"system.{field} is not read: there is no {name}; set system.{name}=FOLDER.")

    def respond(self, ensemble: Ensemble, examples: Sequence[Any]) -> tuple[list[Response], int]:
        """The texts that the networks write together."""
        data, options, main = ensemble.encode(examples), ensemble.evaluation, ensemble.main
        weights = {EXPERT: self._options.expert_weight, ANTI_EXPERT: -self._options.anti_expert_weight}
        members = [(ensemble.members[name], weights[name]) for name in self.helpers()]

        def processors(inputs: Tokens) -> list[Processor]:
            return [DensityRatio(members, inputs)]

        with main.in_force(), drawing(options, device_of(main.backbone.network)):
            texts = in_batches(
                main.network, data.rows, options.batch,
                lambda rows: written(main.network, rows, options, ensemble.text.max_output, processors),
            )  # fmt: skip
        return [Response(text=text) for text in texts], sum(row.cut for row in data.rows)
