"""All entries of OBJECTIVES obey one contract; which of them fits a backbone is said in one place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from training_cases import KNOWN, SUITE, WORDS, answer_task, answers, no_examples, rows_of, suite_of, tiny_model

from polyray.backbones import load_backbone
from polyray.errors import InputError
from polyray.modules.site import mixing
from polyray.objectives import OBJECTIVES, EvaluationOptions, objective_for
from polyray.tasks import (
    ContextQuestion,
    DialogueExample,
    LabelledTexts,
    ParsedWords,
    RawText,
    Suite,
    TaggedWords,
    Task,
    Turn,
)
from polyray.training.data import Encoded
from polyray.training.model import Modular


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something that an objective can be put to: a backbone, a suite, and eight examples of two of its tasks."""

    backbone: str
    suite: Suite
    examples: Sequence[Any]


def text_case(backbone: str) -> Case:
    return Case(backbone=backbone, suite=SUITE, examples=[*answers("colour", 5), *answers("size", 3)])


def tagging_case() -> Case:
    tasks = [replace(answer_task(name), labels=("N", "V"), metric="Tag-ACC", objective="tagging") for name in KNOWN]
    names = ["colour"] * 5 + ["size"] * 3
    examples = [TaggedWords(task=task, words=("ab", "c") * n, tags=("N", "V") * n) for n, task in enumerate(names, 1)]
    return Case(backbone="tiny-encoder", suite=suite_of(*tasks), examples=examples)


def label_case() -> Case:
    tasks = [
        replace(answer_task(name), metric="Label-ACC", objective="classification", prompt="{a} {b}") for name in KNOWN
    ]
    examples = [
        LabelledTexts(task=task, texts=("ab " * n, "c" * n), label=WORDS[n % 3])
        for n, task in enumerate(["colour"] * 5 + ["size"] * 3, 1)
    ]
    return Case(backbone="tiny-encoder", suite=suite_of(*tasks), examples=examples)


def parse_case() -> Case:
    tasks = [replace(answer_task(name), labels=("obj", "root"), metric="las", objective="parsing") for name in KNOWN]
    examples = [
        ParsedWords(task=task, words=("ab", "c", "de")[:n], heads=(0, 1, 2)[:n], relations=("root", "obj", "obj")[:n])
        for n, task in zip((2, 3, 2, 3, 3, 2, 3, 3), ["colour"] * 5 + ["size"] * 3, strict=True)
    ]
    return Case(backbone="tiny-encoder", suite=suite_of(*tasks), examples=examples)


def span_case() -> Case:
    tasks = [replace(answer_task(name), labels=None, metric="Span-F1", objective="spans") for name in KNOWN]
    examples = [
        ContextQuestion(
            task=task, id=str(n), question="who " * n, context=f"it was {'so ' * n}Ada", answers=("Ada",),
            starts=(7 + 3 * n,),
        )
        for n, task in enumerate(["colour"] * 5 + ["size"] * 3, 1)
    ]  # fmt: skip
    return Case(backbone="tiny-encoder", suite=suite_of(*tasks), examples=examples)


def text_case_of_lines() -> Case:
    names = [*KNOWN]
    tasks = [replace(answer_task(name), labels=None, metric="Masked-ACC", objective="masked_lm") for name in names]
    examples = [RawText(task=task, text=f"{task} {n} " * 7 * n) for task in names for n in range(1, 12)]
    return Case(backbone="tiny-encoder", suite=suite_of(*tasks), examples=examples)


def dialogue_case(backbone: str, objective: str) -> Case:
    tasks = [replace(answer_task(name), labels=None, metric="BLEU", objective=objective) for name in KNOWN]
    turns = (Turn(speaker="user", text="Hi."), Turn(speaker="system", text="Yes?"))
    examples = [
        DialogueExample(
            task=task, history=(*turns[: 2 * (n % 2)], Turn(speaker="user", text="so " * n)), knowledge=("It is.",) * n,
            outputs=(f"no, it was {n} of them",), location="a test",
        )
        for n, task in enumerate(["colour"] * 5 + ["size"] * 3, 1)
    ]  # fmt: skip
    return Case(backbone=backbone, suite=suite_of(*tasks), examples=examples)


CASES: dict[str, Callable[[], list[Case]]] = {
    "answers": lambda: [text_case("tiny-seq2seq"), text_case("tiny-causal")],
    "choices": lambda: [text_case("tiny-encoder")],
    "tagging": lambda: [tagging_case()],
    "classification": lambda: [label_case()],
    "parsing": lambda: [parse_case()],
    "spans": lambda: [span_case()],
    "masked_lm": lambda: [text_case_of_lines()],
    "dialogue": lambda: [dialogue_case("tiny-seq2seq", "dialogue"), dialogue_case("tiny-causal", "dialogue")],
    "chat": lambda: [dialogue_case("tiny-causal", "chat")],
}


def cases() -> list[tuple[str, Case]]:
    return [(name, case) for name, make in CASES.items() for case in make()]


def put(case: Case) -> tuple[Modular, Encoded]:
    tasks = [case.suite.tasks[name] for name in dict.fromkeys(x.task for x in case.examples)]
    model = tiny_model(case.backbone, tasks)
    return model, rows_of(model, case.suite, case.examples)


def losses(model: Modular, data: Encoded, rows: Sequence[Any]) -> torch.Tensor:
    batch = data.objective.collate(model.backbone, rows)
    with mixing(model.inventory, model.router(batch.tasks)), torch.no_grad():
        return data.objective.loss(model, batch)


def test_every_objective_has_its_name_and_a_case_here() -> None:
    assert {name: objective.name for name, objective in OBJECTIVES.items()} == {name: name for name in OBJECTIVES}
    assert set(CASES) == set(OBJECTIVES)


def test_the_objective_of_a_case_is_the_one_it_stands_under() -> None:
    for name, case in cases():
        _, data = put(case)
        assert data.objective.name == name and {row.example.task for row in data.rows} == {"colour", "size"}, name


def test_a_batch_has_one_finite_loss_an_example_and_weights_that_sum_to_one() -> None:
    for name, case in cases():
        model, data = put(case)
        batch = data.objective.collate(model.backbone, data.rows)
        values = losses(model, data, data.rows)
        assert values.shape == batch.weights.shape == (len(data.rows),), name
        assert bool(values.isfinite().all()) and bool((values > 0).all()), name
        assert bool((batch.weights > 0).all()) and float(batch.weights.sum()) == pytest.approx(1), name
        assert batch.tasks == tuple(row.example.task for row in data.rows) and batch.objective == name
        assert batch.n_tokens == sum(row.n_read + row.n_written for row in data.rows), name


def test_a_batch_of_one_equals_its_row_in_a_batch_of_eight_so_padding_is_invisible() -> None:
    for _, case in cases():
        model, data = put(case)
        together = losses(model, data, data.rows)
        alone = torch.cat([losses(model, data, [row]) for row in data.rows])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_training_loss_is_the_weighted_sum_and_its_gradient_reaches_skills_routing_and_heads() -> None:
    for name, case in cases():
        model, data = put(case)
        batch = data.objective.collate(model.backbone, data.rows)
        with mixing(model.inventory):
            loss = model(batch)
            loss.backward()
        weighted = float((losses(model, data, data.rows) * batch.weights).sum())
        assert float(loss.detach()) == pytest.approx(weighted, rel=1e-5), name
        for module in (model.inventory, model.router, model.heads):
            assert all(p.grad is not None and bool(p.grad.any()) for p in module.parameters()), name


def test_predictions_are_one_for_each_row_and_can_be_scored() -> None:
    for name, case in cases():
        model, data = put(case)
        predicted = data.objective.predict(model, data.rows, EvaluationOptions(batch=3), 8)
        assert len(predicted) == len(data.rows), name
        for task in ("colour", "size"):
            pairs = [(p, row.example) for p, row in zip(predicted, data.rows, strict=True) if row.example.task == task]
            scores = case.suite.tasks[task].score([p for p, _ in pairs], [x for _, x in pairs])
            assert next(iter(scores)) == case.suite.tasks[task].metric, name
            assert 0 <= next(iter(scores.values())) <= 1, name


def test_heads_are_of_tasks_with_a_key_and_survive_being_saved_bit_for_bit() -> None:
    for name, case in cases():
        model, _ = put(case)
        keys = {OBJECTIVES[name].head_key(task) for task in case.suite.tasks.values()} - {""}
        assert set(model.heads) == keys, name
        assert all(key.partition(":")[0] == name and not set("./") & set(key) for key in keys)
        state = {key: tensor.clone() for key, tensor in model.heads_state().items()}
        other = Modular(model.backbone, model.inventory, model.router)
        other.load_heads_state(state)
        assert set(other.heads) == keys and other.heads_state().keys() == state.keys()
        assert all(torch.equal(tensor, state[key]) for key, tensor in other.heads_state().items()), name


def test_a_task_that_does_not_fit_the_backbone_is_refused_with_those_that_would() -> None:
    free = Task(name="free", category="", metric="EM", labels=None, seeds=(0,), read=no_examples)
    encoder = load_backbone("tiny-encoder")
    assert objective_for(encoder, [free]).name == "choices"
    with pytest.raises(InputError, match=r"'free' asks for free text, but an encoder .*tasks\.labelled=true"):
        rows_of(tiny_model("tiny-encoder", [answer_task("free")]), suite_of(free), answers("free", 1))


def test_tasks_of_different_objectives_are_refused_together() -> None:
    tasks = [answer_task("colour"), replace(answer_task("size"), objective="choices")]
    with pytest.raises(InputError, match="'colour' has 'answers', 'size' has 'choices'"):
        objective_for(load_backbone("tiny-encoder"), tasks)
    with pytest.raises(InputError, match="No objective is called 'anwsers'. Did you mean 'answers'"):
        objective_for(load_backbone("tiny-encoder"), [replace(tasks[0], objective="anwsers")])
