"""All that decides what the training of one skill of a whole network learns, as one config."""

from typing import ClassVar

from pydantic import Field

from polyray.objectives import TextOptions, ValidationOptions
from polyray.training.recipe import LoopOptions, SuiteConfig
from polyray.training.tuning.table import MethodOptions


class TuningOptions(LoopOptions):
    """Length, speed and precision of the training of a skill; each phase begins with a fresh optimiser and schedule."""

    lr: float = Field(5e-5, gt=0)
    """Peak learning rate, of the heads too."""
    weight_decay: float = Field(0.0, ge=0)
    """Weight decay of what is trained."""
    warmup: float = Field(0.0, ge=0, le=1)
    """Share of a phase's steps over which the learning rate rises; then it falls linearly to 0."""
    batch: int = Field(8, ge=1)
    """Examples of an update, over all workers; accumulation not counted."""
    steps: int = Field(1000, ge=1)
    """Updates of a phase, unless the method says else."""


class TuningRecipe(SuiteConfig):
    """Train one skill of a whole network: of a language, on text, or of a task."""

    files: ClassVar[frozenset[str]] = frozenset({"backbone", "base", "heads", "sources"})

    backbone: str = "tiny-encoder"
    """Network under the skill: tiny-seq2seq, tiny-causal, tiny-encoder, a folder, or a name on the Hugging Face Hub."""
    base: tuple[str, ...] = ()
    """Folders of skills that lie beneath: they are added to the backbone for the whole training, so that the skill does
    not contain them, such as the one of the source language beneath that of a task."""
    sources: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Folders of sparse skills by task, which lie beneath for the batches of that task alone (multi-source training),
    such as the languages of several source tasks. A batch is then of one task."""
    heads: str = ""
    """Folder of a skill whose heads are those to begin with; empty: fresh ones, or that of the checkpoint."""
    freeze_decoder: bool = True
    """Let a masked language model decode with the backbone's embeddings as they were pretrained, whatever becomes of
    those that it reads with; otherwise both are one weight."""
    text: TextOptions = TextOptions()
    """Lengths of texts."""
    method: MethodOptions = MethodOptions()
    """Method that trains the skill."""
    training: TuningOptions = TuningOptions()
    """Length, batches and learning rates of the training."""
    evaluation: ValidationOptions = ValidationOptions()
    """Scoring of the tasks' test examples at the end, and of their dev examples while training."""
    name: str = ""
    """Name of the skill; empty: that of the only task, or of the suite."""
