"""Predictions from folders of skills alone: for each objective equal to those that evaluation makes of the data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from prediction_cases import FORMS, SHORT, saved
from training_cases import rows_of, suite_of

import polyray
from polyray.errors import InputError
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.skills.form import TaskForm
from polyray.skills.inventory import load_inventory
from polyray.skills.lifting import lift
from polyray.skills.skill import load_skill, save_skill
from polyray.tasks import TaggedWords, TextAnswers
from polyray.training.evaluation import predictions
from polyray.training.model import Modular
from polyray.training.prediction import Predictor, predict, task_of


def scored(model: Modular, name: str, examples: Sequence[Any], options: EvaluationOptions) -> list[Any]:
    """Predictions as evaluation makes them of a suite's examples."""
    data = rows_of(model, suite_of(task_of(name, FORMS[name])), examples)
    return predictions(model, data, options, SHORT.max_output)


def answers(name: str, *prompts: str, choices: tuple[str, ...] | None = None) -> list[TextAnswers]:
    right = (choices or FORMS[name].labels or ("x",))[:1]
    return [TextAnswers(task=name, input=prompt, outputs=right, choices=choices) for prompt in prompts]


SKIES = ["the sky at noon", "x", "fresh snow of the morning"]


def colours(count: int) -> list[TextAnswers]:
    return answers("colour{1}", *(f"[colour{{1}}] {sky}" for sky in SKIES[:count]))


@pytest.mark.parametrize(
    ("backbone", "trained"), [("tiny-seq2seq", True), ("tiny-causal", False), ("tiny-encoder", False)]
)
def test_inventory_and_lifted_skill_answer_in_the_prompt_of_training(
    backbone: str, trained: bool, tmp_path: Path
) -> None:
    names = ("colour{1}",) if backbone == "tiny-encoder" else ("colour{1}", "free")
    model = saved(tmp_path / "skills", backbone, *names, trained=trained)
    lift(load_inventory(tmp_path / "skills"), "colour{1}", tmp_path / "lifted")
    for options in (EvaluationOptions(batch=2), EvaluationOptions(method="rank", batch=2)):
        expected = scored(model, "colour{1}", colours(3), options)
        assert predict(tmp_path / "skills", "colour{1}", SKIES, evaluation=options) == expected
        assert predict(str(tmp_path / "lifted"), "", SKIES, evaluation=options) == expected
    if trained:  # a lifted skill alone would sit on other weights than it was trained with
        (tmp_path / "skills" / "inventory" / "backbone.safetensors").unlink()
        with pytest.raises(InputError, match="sits on a backbone that was trained with it, whose file is missing"):
            predict(tmp_path / "lifted", "", SKIES)


def test_choices_of_inputs_columns_of_prompts_tags_and_masks(tmp_path: Path) -> None:
    text = saved(tmp_path / "a", "tiny-encoder", "colour{1}", "own", "inline", "rte")
    usual = EvaluationOptions()
    (chosen,) = scored(text, "own", answers("own", "[own] a b", choices=("b", "a")), usual)
    assert predict(tmp_path / "a", "own", [{"input": "a b", "choices": ["b", "a"]}]) == [chosen]
    inline = "which? (A) sky (B) sea"
    (chosen,) = scored(text, "inline", answers("inline", f"[inline] {inline}", choices=("sky", "sea")), usual)
    assert predict(tmp_path / "a", "inline", [inline]) == [chosen]
    (chosen,) = scored(text, "rte", answers("rte", "[rte] premise: it rains hypothesis: it is wet"), usual)
    assert predict(tmp_path / "a", "rte", [{"premise": "it rains", "hypothesis": "it is wet", "id": 3}]) == [chosen]

    tagger = saved(tmp_path / "b", "tiny-encoder", "tags", "other tags")
    lift(load_inventory(tmp_path / "b"), "tags", tmp_path / "tags")
    words = ("in", "New", "York")
    (tags,) = scored(tagger, "tags", [TaggedWords(task="tags", words=words, tags=("O", "O", "O"))], usual)
    for folder in (tmp_path / "b", tmp_path / "tags"):
        assert predict(folder, "tags", ["in  New York", {"words": list(words)}]) == [list(tags)] * 2

    masked = saved(tmp_path / "c", "tiny-encoder", "text")
    predictor = Predictor.load(tmp_path / "c")
    (filled,) = predictor(["ab<mask>de<mask>"])
    with torch.no_grad(), polyray.mixing(masked.inventory, masked.router(["text"])):  # byte b is the token 3 + b
        ids = torch.tensor([[3 + 97, 3 + 98, 258, 3 + 100, 3 + 101, 258, 1]])
        hidden = masked.backbone.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        logits = masked.heads["masked_lm"](hidden[0, [2, 5]], masked.backbone.embeddings)
    assert filled == [bytes([n]).decode(errors="replace") for n in logits[:, 3:258].argmax(-1).tolist()]


def test_lengths_are_those_of_training_unless_others_are_set(tmp_path: Path) -> None:
    folder = tmp_path / "skills"
    form = FORMS["free"].model_copy(update={"text": TextOptions(max_input=6, max_output=5, too_long="truncate")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FORMS, "free", form)
        saved(folder, "tiny-seq2seq", "free")
    predictor = Predictor.load(folder)
    assert predictor(["abcdefgh", "abcdexyz", "ab"])[:2] == [predictor(["abcde"])[0]] * 2  # five bytes and an end
    assert predictor.n_cut == 2
    with pytest.raises(InputError, match=r"1 of 2 examples are longer than text\.max_input=4"):
        Predictor.load(folder, text=TextOptions(max_input=4, max_output=5))(["abcdefgh", "a"])


def test_folders_without_a_form_take_it_from_the_caller(tmp_path: Path) -> None:
    model = saved(tmp_path / "skills", "tiny-encoder", "colour{1}")
    lift(load_inventory(tmp_path / "skills"), "colour{1}", tmp_path / "lifted")
    skill = load_skill(tmp_path / "lifted")
    bare = {"forms": {}, "tasks": (), "name": "colour{1}", "parents": ()}  # as `import_peft` writes it
    save_skill(replace(skill, card=skill.card.model_copy(update=bare)), tmp_path / "bare")
    expected = scored(model, "colour{1}", colours(3), EvaluationOptions())
    form = FORMS["colour{1}"].model_copy(update={"metric": ""})
    assert predict(tmp_path / "bare", "", SKIES, form=form) == expected
    old = {**bare, "schema_version": 1}
    save_skill(replace(skill, card=skill.card.model_copy(update=old)), tmp_path / "old")
    refusals: list[tuple[Callable[[], object], str]] = [
        (
            lambda: predict(tmp_path / "bare", "", SKIES),
            r"does not say how the task 'colour\{1\}' is put to the network",
        ),
        (lambda: predict(tmp_path / "lifted", "", SKIES, form=form), "has the form of the task .* itself"),
        (lambda: predict(tmp_path / "old", "", SKIES, form=form), "Lift or adapt it again"),
        (
            lambda: predict(
                tmp_path / "bare", "", ["a"], form=TaskForm(objective="tagging", prompt="{x}", labels=("a",))
            ),
            r"have no head for the task .*tagging:a.* Their heads: none",
        ),
        (lambda: predict(tmp_path / "bare", "", ["a"], form=TaskForm(prompt="{x}")), "inputs of the task .* bring the"),
        (lambda: predict(tmp_path / "bare", "", ["a"], form=TaskForm(prompt="{")), "Cannot read the prompt '{'"),
        (lambda: predict(tmp_path / "bare", "", ["a"], form=TaskForm(prompt="{input:>99999}")), "names no plain field"),
    ]
    for call, message in refusals:
        with pytest.raises(InputError, match=message):
            call()


def test_what_a_question_lacks_is_named_with_its_place(tmp_path: Path) -> None:
    saved(tmp_path / "a", "tiny-encoder", "colour{1}", "own", "rte")
    saved(tmp_path / "b", "tiny-encoder", "text")
    wrong: list[tuple[str, str, Mapping[str, Any] | str, str]] = [
        ("a", "colour{1}", " ", "input 2: the input is empty"),
        (
            "a",
            "colour{1}",
            {"text": "x"},
            r"input 2: the task 'colour\{1\}' reads the fields input; 'input' is missing",
        ),
        ("a", "colour{1}", {"input": 3}, "input 2: expected the field 'input' with a text, found 3"),
        ("a", "colour{1}", "a\ud800b", "input 2: the text is no valid Unicode at letter 2"),
        ("a", "own", {"input": "x", "choices": "ab"}, "input 2: expected the field 'choices' with a list of texts"),
        ("a", "own", "x", "input 2: inputs of the task 'own' bring the answers to choose among"),
        ("a", "rte", "x", r"input 2: the task 'rte' reads the fields premise, hypothesis; 'premise' is missing"),
        ("a", "colour", "x", r"No task of .* is called 'colour'\. Did you mean 'colour\{1\}'"),
        ("a", "", "x", r"has several tasks: set task=NAME\. Known: colour\{1\}, own, rte"),
        ("b", "text", "no mask", "input 2: the objective masked_lm fills masks, and the text has none: write <mask>"),
        ("a/skill-0", "own", "x", "is one of the skills that the tasks of .* mix"),
        (".", "own", "x", "holds no skills: expected RUN/skills"),
    ]
    whole: dict[str, Mapping[str, Any] | str] = {
        "own": {"input": "x", "choices": ["a"]}, "rte": {"premise": "a", "hypothesis": "b"}, "text": "<mask>",
    }  # fmt: skip
    for folder, task, value, message in wrong:
        with pytest.raises(InputError, match=message):
            predict(tmp_path / folder, task, [whole.get(task, "x"), value])
