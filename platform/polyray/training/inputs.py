"""Inputs to predict from the command line or a file, and the file of their predictions."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyray.backbones.precision import SkillsDtype
from polyray.config import Section
from polyray.errors import InputError
from polyray.files import write_file
from polyray.formats import parse_json_object, read_lines
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.objectives.questions import Question
from polyray.skills.form import TaskForm
from polyray.training.prediction import Predictor
from polyray.training.skill_source import SkillSource

PREDICTION = "prediction"


class PredictionRecipe(Section):
    """Predict with trained skills."""

    skills: str = ""
    """Folder of skills: RUN/skills, or one skill that was lifted or adapted."""
    backbone_dtype: SkillsDtype = "card"
    """Number format of the backbone's weights: see polytropon; card: the one that the skills were trained with."""
    base: tuple[str, ...] = ()
    """Folders of skills that lie beneath the one skill, such as that of the inputs' language: they are added to the
    backbone; empty: those from its training; [none]: none."""
    task: str = ""
    """Task that the skills know; empty: the only one."""
    inputs: str = ""
    """File of inputs in place of texts: .jsonl (lines as in training data; `output` is not read) or .txt
    (one text a line)."""
    out: str = ""
    """File of JSON lines to write: each input with its prediction; empty: they are printed."""
    text: TextOptions = TextOptions()
    """Lengths of texts; a field that is not set is as in training."""
    evaluation: EvaluationOptions = EvaluationOptions()
    """Batches and decoding of predictions."""
    form: TaskForm = TaskForm()
    """Form of the task, for folders that do not say it: imported ones, and those of schema 1."""

    def unread(self) -> Mapping[str, str]:
        """`evaluation.max_examples`: every input is answered."""
        return {"evaluation.max_examples": "every input is answered", "form.text": "text sets the lengths"}


def answer(recipe: PredictionRecipe, texts: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """Each input's fields with its prediction, and the number of inputs that were cut.

    All but the inputs' lengths is checked before the backbone is loaded; `out`, if it is set, is written at the end.

    Raises:
        InputError: the folder, the task, an input or the output file is wrong.
    """
    if not recipe.skills:
        raise InputError("predict needs skills=FOLDER: RUN/skills, or the folder of one skill.")
    if bool(texts) == bool(recipe.inputs):
        raise InputError(
            "predict needs texts or inputs=FILE, not both." if texts else "predict needs texts, or inputs=FILE."
        )
    if recipe.out:
        _check_writable(Path(recipe.out))
    source = SkillSource.of(Path(recipe.skills), recipe.backbone_dtype, recipe.base)
    task = source.task(recipe.task)
    form = source.form(task, recipe.form if recipe.form != TaskForm() else None)
    questions = read_questions(Path(recipe.inputs)) if recipe.inputs else texts_as_questions(texts)
    lengths = form.text.model_copy(update=recipe.text.model_dump(include=recipe.text.model_fields_set))
    predictor = Predictor.of(source, task, form, lengths)
    predictions = predictor.answers(questions, recipe.evaluation)
    answered = [
        {**question.fields, PREDICTION: prediction} for question, prediction in zip(questions, predictions, strict=True)
    ]
    if recipe.out:
        lines = [json.dumps(fields, ensure_ascii=False) + "\n" for fields in answered]
        write_file(Path(recipe.out), "".join(lines))
    return answered, predictor.n_cut


def texts_as_questions(texts: Sequence[str]) -> list[Question]:
    """Texts of the command line, numbered from 1."""
    return [Question.of(text, f"text {number}") for number, text in enumerate(texts, start=1)]


def read_questions(file: Path) -> list[Question]:
    """The inputs in a file: JSON lines with the fields of each, or a text a line; blank lines at the end are left out.

    Raises:
        InputError: the file is of another kind or cannot be read, or a line is blank or no JSON object.
    """
    if file.suffix not in (".jsonl", ".txt"):
        raise InputError(f"inputs={file} must be a file of JSON lines (.jsonl) or of one text a line (.txt).")
    questions = []
    for number, line in enumerate(read_lines(file), start=1):
        where = f"{file}:{number}"
        if not line.strip():
            raise InputError(f"{where}: the line is blank; expected an input.")
        if file.suffix == ".txt":
            questions.append(Question.of(line, where))
        else:
            questions.append(Question(fields=parse_json_object(line, file, number), where=where))
    return questions


def _check_writable(out: Path) -> None:
    if out.exists():
        raise InputError(f"out={out} is there already. Choose another file.")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise InputError(f"out={out} cannot be written: {out.parent} is no folder that can be written to.")
