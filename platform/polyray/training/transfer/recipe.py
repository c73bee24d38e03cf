"""Cross-lingual transfer as one config: a task of a source language, and languages that it is carried to."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from polyray.config import Section
from polyray.errors import InputError
from polyray.lookup import all_known
from polyray.objectives import EvaluationOptions, TextOptions, ValidationOptions
from polyray.tasks import Suite, TasksOptions, load_suite
from polyray.training.recipe import SuiteConfig
from polyray.training.transfer.merge_options import MergeStudyOptions
from polyray.training.tuning.recipe import TuningOptions
from polyray.training.tuning.table import TUNINGS


class SkillsOptions(Section):
    """Training of the skills of one sort."""

    text: TextOptions = TextOptions()
    """Lengths of texts."""
    training: TuningOptions = TuningOptions()
    """Length, batches and learning rates of the training."""
    evaluation: ValidationOptions = ValidationOptions()
    """Scoring at the end of a training, and validation meanwhile."""
    each: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields that differ for one method, by dotted name as in ltsft: {lora: {training.lr: 0.001, method.rank: 8}}."""

    @field_validator("each")
    @classmethod
    def _methods_there_are(cls, each: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if each:
            all_known(each, TUNINGS, "method")
        return each


class LanguagesOptions(SkillsOptions):
    """Texts of the languages, and how their skills are trained."""

    files: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str = ""
    """Folder of texts, as in suite=text: NAME.txt is the language NAME."""
    source: str = ""
    """Language of the source task, whose skill lies beneath the task's while that is trained."""
    head_steps: int = Field(0, ge=0)
    """Updates of a masked language model's head on all texts, before everything else; the languages' skills begin with
    it and leave it as it is. For checkpoints without such a head; 0: the checkpoint's own head is used."""


class TransferRecipe(SuiteConfig):
    """Carry a task to other languages: skills of task and languages, zero-shot scores with and without composition."""

    files: ClassVar[frozenset[str]] = frozenset({"backbone", "library"})

    backbone: str = "tiny-encoder"
    """Network under all skills: a folder, or a name; see `polyray list backbones`."""
    source: str = ""
    """The task that is learned, by its name in the suite."""
    targets: dict[str, str] = Field(default_factory=dict)
    """Tasks that it is carried to, each with the language of its sentences: {swahili: swa}."""
    methods: tuple[str, ...] = ("full", "bitfit", "lora", "random", "lottery_ticket")
    """Ways to learn the task without skills of languages: see `polyray list methods`."""
    composed: dict[str, str] = Field(default_factory=lambda: {"lottery_ticket": "lottery_ticket"})
    """Ways to learn the task on top of the source language's skill, each with the way to learn the languages' skills;
    for a target that language's skill takes its place."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the task's skills; a language's skill is trained once."""
    study: Literal["matrix", "density", "merge"] = "matrix"
    """Methods side by side; lottery tickets of several densities, all by one full fine-tuning; or, in place of a
    transfer, the suite's training tasks learned one by one, and their skills merged."""
    densities: tuple[float, ...] = (0.005, 0.02, 0.08, 0.32)
    """Shares of the eligible entries, where study=density."""
    merge: MergeStudyOptions = MergeStudyOptions()
    """Numbers of skills that are merged, and the ways to merge them, where study=merge."""
    share: bool = True
    """Let lottery tickets without skills of languages take the changes of `full` for their first phase, where that is
    among the methods."""
    task: SkillsOptions = SkillsOptions()
    """Training of the task's skills."""
    languages: LanguagesOptions = LanguagesOptions()
    """Texts of the languages, and how their skills are trained."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """Scoring of the test examples of all languages at the end."""
    resamples: int = Field(200, ge=0)
    """Draws for intervals (bootstrap), of the test sentences or, where study=merge, of the tasks; 0: no intervals."""
    library: str = ""
    """Folder with earlier runs or skills: a skill there by the same recipe is taken instead of being trained again."""
    gpus: float = Field(0, ge=0)
    """GPUs of one training; a fraction shares one."""

    @field_validator("methods")
    @classmethod
    def _methods_there_are(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        all_known(methods, TUNINGS, "method")
        return methods

    @field_validator("composed")
    @classmethod
    def _ways_there_are(cls, composed: dict[str, str]) -> dict[str, str]:
        for method in (*composed, *composed.values()):
            all_known([method], TUNINGS, "method")
        return composed

    @field_validator("seeds", "densities")
    @classmethod
    def _different(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError("expected different numbers, at least one")
        return values

    def load_suite(self) -> Suite:
        """The suite, of which a transfer needs the source and the targets alone, as far as its options can choose.

        Raises:
            InputError: its data are wrong, or it has no such tasks, or none are named.
        """
        if self.study == "merge":
            return load_suite(self.tasks)
        if not (self.source and self.targets):
            raise InputError("transfer needs source=TASK and targets={TASK: LANGUAGE, ...}, tasks of the suite.")
        values = self.model_dump(mode="json")["tasks"]
        if "include" in values:
            values["include"] = (self.source, *self.targets)
        return load_suite(TasksOptions.model_validate({"kind": self.suite, **values}))

    def unread(self) -> Mapping[str, str]:
        """Fields of other studies."""
        if self.study == "merge":
            fields = ("source", "targets", "composed", "densities", "languages")
            return dict.fromkeys(fields, "study=merge has no languages: it merges skills of the suite's training tasks")
        unread = {"merge": f"study is {self.study}"}
        if self.study == "matrix":
            return {**unread, "densities": "study is matrix"}
        return {**unread, "share": "study=density shares one full fine-tuning in any case"}
