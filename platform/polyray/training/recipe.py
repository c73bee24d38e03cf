"""All that decides what multi-task training learns, as one config that jobs compose and workers read."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from polyray.backbones.precision import DtypeChoice
from polyray.config import Section, fields_read_by
from polyray.modules.options import SkillOptions
from polyray.objectives import TextOptions, ValidationOptions
from polyray.routing import RoutingOptions
from polyray.runs.selection import Keep
from polyray.tasks import TASKS, TasksOptions
from polyray.training.optimizers import AdamOptions, OptimizerOptions


class SuiteConfig(Section):
    """A config with a suite of tasks."""

    selectors: ClassVar[Mapping[str, str]] = {"tasks": "suite"}

    suite: str = "planted"
    """Family of tasks: see `polyray list tasks`."""
    tasks: TasksOptions = TasksOptions()
    """Which tasks of it."""

    @model_validator(mode="before")
    @classmethod
    def _hand_down_the_suite(cls, values: Any) -> Any:
        """Let `suite` be the kind of `tasks`, and the other way round where only `tasks` is there."""
        if not isinstance(values, Mapping):
            return values
        tasks = values.get("tasks")
        if isinstance(tasks, TasksOptions):
            return {"suite": tasks.kind, **values}
        default = cls.model_fields["tasks"].default
        suite = values.get("suite", cls.model_fields["suite"].default)
        if tasks is None and isinstance(default, TasksOptions) and default.kind == suite:
            return values
        return {**values, "suite": suite, "tasks": {**(tasks or {}), "kind": suite}}

    @model_validator(mode="after")
    def _agree(self) -> "SuiteConfig":
        if self.tasks.kind != self.suite:
            raise ValueError(f"suite is {self.suite!r}, but tasks are options of the suite {self.tasks.kind!r}")
        return self

    def unread_inside(self) -> Mapping[str, str]:
        """Fields that are for other kinds of task than those of the suite, where it has one kind."""
        objectives = TASKS[self.suite].objectives
        if not objectives:
            return {}
        return {
            name: f"it is for tasks of {' and '.join(readers)}, and those of suite={self.suite} are of {objectives[0]}"
            for name, readers in fields_read_by(type(self)).items()
            if not set(readers) & set(objectives)
        }

    @model_serializer(mode="wrap")
    def _without_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if isinstance(values.get("tasks"), dict):
            values["tasks"].pop("kind", None)
        return values


class LoopOptions(AdamOptions):
    """Batches, precision, seed, reports and checkpoints of a training."""

    batch: int = Field(32, ge=1)
    """Examples of an update, over all workers; accumulation not counted."""
    accumulate: int = Field(1, ge=1)
    """Batches of an update."""
    task_power: float = Field(1.0, ge=0, le=1)
    """A task is drawn with probability proportional to size ** task_power: 1 proportional, 0 uniform."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the forward pass; trained parameters stay fp32. A backbone whose weights are kept in fewer bits
    computes in bf16 in any case."""
    checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them."""
    seed: int = 0
    """Seed of everything that is drawn."""
    report_every: int = Field(50, ge=1)
    """Steps between two lines of metrics.jsonl."""
    save_every: int = Field(500, ge=1)
    """Steps between two checkpoints; one more at the end."""
    keep: Keep = "last"
    """Which state ends in skills/: the last one, or the best one by validation score (needs evaluation.every)."""


class TrainingOptions(OptimizerOptions, LoopOptions):
    """Length, speed and precision of multi-task training."""

    files: ClassVar[frozenset[str]] = frozenset({"schedule"})

    steps: int = Field(1000, ge=1)
    """Updates."""
    backbone_lr: float = Field(0.0, ge=0)
    """Peak learning rate of the backbone; 0 freezes it."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Copies of the backbone on every worker, or one that is sharded over them (FSDP2; needs a frozen backbone)."""
    schedule: str = ""
    """File with peak learning rates that change at given steps, as a sweep with a population writes it; it goes before
    lr, routing_lr and backbone_lr."""


class TicketOptions(Section):
    """Lottery tickets: the search for the entries that sparse skills may change (Ansell et al. 2022)."""

    steps: int = Field(0, ge=0)
    """Updates of a first, dense training; each skill may change the entries that changed most there, and training
    begins again. 0: the entries are drawn at random."""


class SuiteRecipe(Protocol):
    """The parts of a recipe that say which examples are learned, and how they are read and scored."""

    @property
    def tasks(self) -> TasksOptions:
        """Which tasks of the suite."""

    @property
    def text(self) -> TextOptions:
        """Lengths of texts."""

    @property
    def training(self) -> LoopOptions:
        """Batches and seed."""

    @property
    def evaluation(self) -> ValidationOptions:
        """Validation."""


class TrainingRecipe(SuiteConfig):
    """Train an inventory of skills and its routing on the training tasks of a suite."""

    files: ClassVar[frozenset[str]] = frozenset({"backbone"})

    backbone: str = "tiny-seq2seq"
    """Network under the skills: tiny-seq2seq, tiny-causal, tiny-encoder, a folder, or a name on the Hugging Face
    Hub."""
    backbone_dtype: DtypeChoice = "fp32"
    """Number format of a frozen backbone's weights: fp32, bf16, int8 and nf4 (quantised; extra `quant`), or auto: the
    one of its file. Skills, routing and heads are fp32 in any case."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""
    modules: SkillOptions = SkillOptions()
    """Kind, options and sites of the modules that a skill is made of."""
    ticket: TicketOptions = TicketOptions()
    """Entries that sparse skills may change."""
    routing: RoutingOptions = RoutingOptions()
    """Router, which lets tasks share skills."""
    training: TrainingOptions = TrainingOptions()
    """Length, batches and learning rates of the training."""
    evaluation: ValidationOptions = ValidationOptions()
    """Scoring of the training tasks' test examples at the end, and of their dev examples while training."""

    def unread(self) -> Mapping[str, str]:
        """Sections that a choice of another field leaves unread."""
        return {} if self.modules.kind == "sparse" else {"ticket": "lottery tickets are of modules.kind=sparse"}

    def dense(self) -> Self:
        """The dense training that lottery tickets are drawn from, by the state that it ends with."""
        training = self.training.model_copy(update={"steps": self.ticket.steps, "keep": "last", "schedule": ""})
        return self.model_copy(update={"training": training})
