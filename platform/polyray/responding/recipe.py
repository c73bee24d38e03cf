"""All that decides how examples are answered and scored, as one config."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from polyray.config import Section
from polyray.judges.options import ScoreResponsesOptions
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.responding.members import MemberSource
from polyray.responding.network import NetworkConfig
from polyray.responding.system import MAIN
from polyray.responding.table import SystemOptions


class AnsweredOptions(Section):
    """Examples that are answered, and pieces of work."""

    split: Literal["train", "dev", "test"] = "test"
    """Which examples of each task."""
    tasks: tuple[str, ...] = ()
    """Tasks of the suite by name; empty: all."""
    piece: int = Field(256, ge=1)
    """Examples of one Ray task, which loads the networks once; a run that goes on keeps finished ones."""
    gpus: float = Field(0, ge=0)
    """GPUs of one Ray task; a fraction shares one."""


class RespondRecipe(NetworkConfig):
    """Answer the examples of a suite with a system of one or several networks."""

    share: bool = True
    """Keep the backbone that several skills sit on in memory once, and switch skills at every pass. False: a backbone
    for each, which is faster where skills change many parameters, as those of full fine-tuning do."""
    system: SystemOptions = SystemOptions()
    """The system that answers."""
    score: AnsweredOptions = AnsweredOptions()
    """Examples that are answered, and pieces of work."""
    responses: ScoreResponsesOptions = ScoreResponsesOptions()
    """Metrics of responses in dialogues, and intervals; of other answers the metric is that of the task."""
    text: TextOptions = TextOptions(max_input=640, too_long="truncate")
    """Lengths of texts."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """Batches and decoding."""

    def unread(self) -> Mapping[str, str]:
        """Fields that the chosen system does not read, and those of skills where there are none."""
        reason = f"system.kind={self.system.kind}"
        unread = {name: f"{reason}: {why}" for name, why in self.system.system().unread.items()}
        return unread if self.skills else {**unread, "base": "there are no skills that others could lie beneath"}

    def sources(self) -> dict[str, MemberSource]:
        """Sources of the networks, MAIN first."""
        helpers = self.system.system().helpers()
        return {MAIN: self.source} | {
            name: MemberSource(path=path, dtype=self.backbone_dtype) for name, path in helpers.items()
        }
