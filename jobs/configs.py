"""The configs of the jobs that train; workers read them too, without the rest of a job."""

from typing import Literal

from pydantic import Field

from polyray.config import Section
from polyray.jobs.sections import (
    EvaluationSection,
    ModulesSection,
    RoutingSection,
    TextSection,
    TrainingSection,
    WorkersSection,
)
from polyray.training.adaptation import FewShot
from polyray.training.data import SuiteConfig
from polyray.training.optimizers import OptimizerOptions


class PolytroponConfig(SuiteConfig):
    """Train skills and their routing on the training tasks of a suite."""

    backbone: str = "tiny-seq2seq"
    """Network under the skills: tiny-seq2seq, tiny-causal, tiny-encoder, a folder, or a name on the Hugging Face
    Hub."""
    text: TextSection = TextSection()
    """Lengths of texts."""
    modules: ModulesSection = ModulesSection()
    """What a skill is made of."""
    routing: RoutingSection = RoutingSection()
    """How tasks share skills."""
    training: TrainingSection = TrainingSection()
    """How long and how fast."""
    evaluation: EvaluationSection = EvaluationSection()
    """How the training tasks' test examples are scored at the end."""
    workers: WorkersSection = WorkersSection()
    """Who trains."""


class AdaptSection(Section):
    """How one adaptation is trained and chosen."""

    methods: tuple[Literal["skills", "row", "average", "fresh", "full"], ...] = ("skills",)
    """What is trained: skills and a new row, the row only, the averaged skills, fresh skills, the full model."""
    part: Literal["test", "dev"] = "test"
    """Which tasks of the partition."""
    seeds: tuple[int, ...] = ()
    """Few-shot splits; empty: all of each task."""
    steps: int = Field(1000, ge=1)
    """Updates."""
    batch: int = Field(8, ge=1)
    """Examples of an update."""
    lr: tuple[float, ...] = (1e-3,)
    """Learning rates of the skills; the development set chooses among them."""
    routing_lr: float = Field(1e-1, gt=0)
    """Learning rate of the new row."""
    weight_decay: float = Field(0.01, ge=0)
    """Of the skills."""
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps over which learning rates rise."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    beta2: float = Field(0.999, gt=0, lt=1)
    """Adam's memory of squared gradients; runs of some hundred steps want 0.99."""
    looks: int = Field(10, ge=1)
    """How often the development set is looked at; the best look is kept."""
    seed: int = 0
    """Of everything that is drawn."""
    gpus: float = Field(0, ge=0)
    """GPUs of one adaptation; a fraction shares one."""

    def few_shot(self) -> FewShot:
        """As the library takes it."""
        speeds = OptimizerOptions(
            lr=self.lr[0], routing_lr=self.routing_lr, weight_decay=self.weight_decay, warmup=self.warmup,
            clip=self.clip, beta2=self.beta2,
        )  # fmt: skip
        return FewShot(
            steps=self.steps, batch=self.batch, speeds=speeds, rates=self.lr, looks=self.looks, seed=self.seed
        )


class AdaptConfig(SuiteConfig):
    """Adapt the skills of a run to the tasks that it has not seen."""

    skills: str = ""
    """Folder that `polyray run polytropon` wrote: RUN/skills."""
    text: TextSection = TextSection()
    """Lengths of texts."""
    adapt: AdaptSection = AdaptSection()
    """How one adaptation is trained and chosen."""
    evaluation: EvaluationSection = EvaluationSection()
    """How development and test examples are scored."""
