"""Predictions of trained skills for new inputs, from the folder of skills alone: no suite, no data, no Ray."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from polyray.backbones.precision import SkillsDtype
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.metrics import METRICS
from polyray.modules.site import without_skills
from polyray.objectives import OBJECTIVES, EvaluationOptions, objective_for
from polyray.objectives.questions import INPUT, Question
from polyray.skills.form import TaskForm, TextOptions
from polyray.tasks import Task
from polyray.training.model import Modular
from polyray.training.skill_source import SkillSource
from polyray.training.worker import own_device

Input = str | Mapping[str, Any]


def predict(
    skills: Path | str,
    task: str,
    inputs: Sequence[Input],
    *,
    evaluation: EvaluationOptions | None = None,
    form: TaskForm | None = None,
    backbone_dtype: SkillsDtype = "card",
    base: Sequence[str] = (),
) -> list[Any]:
    """The answer of trained skills to each input, which is put to the network as in training.

    A text for tasks that are answered by one, a list of tags for a sentence, a list of tokens for a text with masks.
    For several calls load a `Predictor` once.

    Args:
        skills: RUN/skills, or the folder of one skill, lifted or adapted.
        task: empty for the only task of the folder.
        inputs: texts, or the fields of a line of data such as {"input": ..., "choices": [...]} or {"words": [...]}.
        form: of the task, where the folder does not have it.
        backbone_dtype: number format of the backbone's weights; card: as in training.
        base: folders of skills that lie beneath the one skill; empty: those from its training, `none`: none.

    Raises:
        InputError: the folder, the task or an input is wrong.
    """
    return Predictor.load(skills, task, form=form, backbone_dtype=backbone_dtype, base=base)(inputs, evaluation)


class Predictor:
    """Trained skills on their backbone, ready to answer inputs of one task.

    Attributes:
        model: backbone, skills and router.
        task: the task, without examples.
        text: lengths of texts.
        n_cut: inputs so far of which tokens were cut off.
    """

    def __init__(self, model: Modular, task: Task, text: TextOptions) -> None:
        """Check that the model can answer the task.

        Raises:
            InputError: the task's objective does not fit the backbone, or the skills lack its head.
        """
        self.model, self.task, self.text, self.n_cut = model, task, text, 0
        self._objective = objective_for(model.backbone, [task])
        key = self._objective.head_key(task)
        if key and key not in model.heads:
            raise InputError(
                f"The skills have no head for the task {task.name!r} ({key}). Their heads: "
                f"{', '.join(model.heads) or 'none'}."
            )

    @classmethod
    def load(
        cls, skills: Path | str, task: str = "", *, form: TaskForm | None = None, text: TextOptions | None = None,
        backbone_dtype: SkillsDtype = "card", base: Sequence[str] = (),
    ) -> Self:  # fmt: skip
        """The skills of a folder for one of its tasks, on a GPU if there is one; arguments as in `predict`.

        Args:
            text: lengths in place of those in training.

        Raises:
            InputError: the folder or the task is wrong, or the folder lacks the form and none is passed.
        """
        source = SkillSource.of(Path(skills), backbone_dtype, base)
        name = source.task(task)
        form = source.form(name, form)
        return cls.of(source, name, form, text or form.text)

    @classmethod
    def of(cls, source: SkillSource, name: str, form: TaskForm, text: TextOptions) -> Self:
        """The skills of `source` for the task called `name`.

        Raises:
            InputError: the form does not fit the backbone, or a file of the skills is damaged.
        """
        task = task_of(name, form)
        model = source.load([name]).to(own_device())
        return cls(model, task, text)

    def __call__(self, inputs: Sequence[Input], evaluation: EvaluationOptions | None = None) -> list[Any]:
        """The answer to each input, as `predict` gives them."""
        questions = [_question(value, f"input {number}") for number, value in enumerate(inputs, start=1)]
        return self.answers(questions, evaluation or EvaluationOptions())

    def answers(self, questions: Sequence[Question], evaluation: EvaluationOptions) -> list[Any]:
        """The answer to each question, computed in batches of similar length.

        Raises:
            InputError: a question lacks what the task needs, or is too long.
        """
        with without_skills(self.model.inventory):
            rows = self._objective.ask(self.model.backbone, self.task, questions, self.text)
        self.n_cut += sum(row.cut for row in rows)
        return self._objective.answer(self.model, rows, evaluation, self.text.max_output) if rows else []


def task_of(name: str, form: TaskForm) -> Task:
    """The task of this form, without examples.

    Raises:
        InputError: the form names an objective or a metric that there is not.
    """
    predicts = lookup(OBJECTIVES, form.objective, "objective").predicts
    metric = form.metric or next(name for name, metric in METRICS.items() if metric.scores == predicts)
    return Task(
        name=name, category="", metric=metric, labels=form.labels or None, seeds=(0,), read=_no_examples,
        has_choices=form.choices != "labels", objective=form.objective, prompt=form.prompt,
        inline_choices=form.choices == "inline", control=form.control,
    )  # fmt: skip


def _no_examples(split: str, seed: int) -> tuple[Any, ...]:
    return ()


def _question(value: Input, where: str) -> Question:
    return Question(fields={INPUT: value} if isinstance(value, str) else value, where=where)
