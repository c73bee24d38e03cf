"""Rows of a table of faithful dialogue, and all that decides them, as one config."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from polyray.config import Section
from polyray.judges.options import ScoreResponsesOptions
from polyray.lookup import all_known
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.responding.recipe import AnsweredOptions
from polyray.tasks import TasksOptions
from polyray.training.recipe import SuiteConfig
from polyray.training.tuning.recipe import TuningOptions
from polyray.training.tuning.table import MethodOptions

CONTROLLED = "ctrl+"  # how a row of a merge begins that starts from the system with control tokens


@dataclass(frozen=True, kw_only=True)
class MergeRow:
    """A merge of the system with its anti-expert, and with its expert where `expert`; scale: of Fisher information."""

    kind: str
    expert: bool = False
    scale: Literal["", "sequence", "reference"] = ""
    options: Mapping[str, Any] = field(default_factory=dict)


MERGED: Mapping[str, MergeRow] = {
    "task_arithmetic": MergeRow(kind="task_arithmetic"),
    "cape": MergeRow(kind="cape", expert=True),
    "ewr": MergeRow(kind="ewr", scale="sequence"),
    "ewr_delta": MergeRow(kind="ewr", scale="sequence", options={"form": "delta"}),
    "ewr_reference": MergeRow(kind="ewr", scale="reference"),
}
ANSWERING = ("plain", "ctrl", "dexperts", "noisy_channel")  # rows of one or several networks as they were trained
ROWS = (*ANSWERING, *MERGED, *(CONTROLLED + name for name in MERGED))
LAMBDAS = {"task_arithmetic": (1.0,), "cape": (1.0,), "ewr": (0.15,), "ewr_delta": (1.0,), "ewr_reference": (0.15,)}


class ResponsesOptions(SuiteConfig):
    """Responses of a suite of dialogues."""

    suite: str = "dstc11"
    """Family of dialogues: see `polyray list tasks`."""
    tasks: TasksOptions = TasksOptions(kind="dstc11")
    """Where they are, and which of them; an empty path: there are none."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a job that reads them."""
        return {"suite": self.suite, "tasks": self.tasks.model_dump(mode="json")}

    @property
    def given(self) -> bool:
        """Whether there are some."""
        return bool(self.fields["tasks"]["path"])


class FisherSample(Section):
    """Fisher information for elastic weight removal."""

    n: int = Field(0, ge=0)
    """Examples, drawn from the system's development examples; 0: all."""
    labels: Literal["gold", "sampled"] = "sampled"
    """Labels of the examples; ewr_reference draws them in any case."""
    batch: int = Field(8, ge=1)
    """Examples at once; in the released scale it decides, too."""


class FaithfulRecipe(ResponsesOptions):
    """Train a system, its expert and anti-expert, and all that is made of them; answer and score."""

    files: ClassVar[frozenset[str]] = frozenset({"backbone"})

    backbone: str = ""
    """Folder of the network under everything."""
    rows: tuple[str, ...] = ("plain", "ctrl", "dexperts", "noisy_channel", "task_arithmetic", "cape", "ewr")
    """Rows of the table."""
    lambdas: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    """Factors of merges, each a row of its own: {ewr: [0.05, 0.15]}; of merges that are not named, the usual one."""
    expert: ResponsesOptions = ResponsesOptions()
    """Responses from which the expert learns, such as `expert.tasks.select.labels=[Fully attributable]`."""
    anti_expert: ResponsesOptions = ResponsesOptions()
    """Responses from which the anti-expert learns, such as `anti_expert.tasks.select.swap=true`."""
    held_out: ResponsesOptions = ResponsesOptions()
    """Responses whose likelihood is reported for each row of one network."""
    text: TextOptions = TextOptions(max_input=640, too_long="truncate")
    """Lengths of texts."""
    method: MethodOptions = MethodOptions(kind="full")
    """Method of all trainings."""
    training: TuningOptions = TuningOptions()
    """Training of the system, with and without control tokens."""
    helpers: TuningOptions = TuningOptions()
    """Training of its expert, anti-expert, channel and language model, on top of it."""
    fisher: FisherSample = FisherSample()
    """Fisher information for elastic weight removal."""
    score: AnsweredOptions = AnsweredOptions()
    """Examples that are answered, and pieces of work."""
    responses: ScoreResponsesOptions = ScoreResponsesOptions()
    """Metrics of responses, and intervals."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """Batches and decoding."""
    gpus: float = Field(0, ge=0)
    """GPUs of a step; a fraction shares one."""

    @field_validator("rows")
    @classmethod
    def _rows_there_are(cls, rows: tuple[str, ...]) -> tuple[str, ...]:
        all_known(rows, ROWS, "row")
        return rows

    @field_validator("lambdas")
    @classmethod
    def _merges_there_are(cls, lambdas: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        if lambdas:
            all_known(lambdas, MERGED, "merge")
        return lambdas

    def factors(self, merge: str) -> tuple[float, ...]:
        """Factors of a merge."""
        return self.lambdas.get(merge, LAMBDAS[merge])
