"""Dialogues as tokens: markers and chat templates, what is cut, what is learned, sequences that are shared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from dialogue_cases import chat, load, write_chats
from gathering import for_cases
from tokenizer_cases import byte_pairs
from training_cases import no_examples, suite_of

from polyray.backbones import Backbone, load_backbone
from polyray.backbones.pretrained_text import PretrainedText
from polyray.backbones.text import Text
from polyray.errors import InputError
from polyray.modules.site import mixing
from polyray.objectives import OBJECTIVES, EvaluationOptions, TextOptions, objective_for
from polyray.objectives.losses import IGNORED
from polyray.objectives.packing import attention_within, bins, positions_in
from polyray.objectives.questions import Question
from polyray.tasks import DialogueExample, Task, Turn
from polyray.training.model import bare

RESPONSE, CHAT = OBJECTIVES["dialogue"], OBJECTIVES["chat"]
TASK = Task(
    name="inns", category="", metric="BLEU", labels=None, seeds=(0,), read=no_examples, objective="dialogue",
    prompt="Use this: {knowledge}", control=("<high-prec>",),
)  # fmt: skip
TASKS = {"inns": TASK}
TURNS = (
    Turn(speaker="user", text="An inn?"), Turn(speaker="system", text="The Inn."),
    Turn(speaker="user", text="Is it free?"),
)  # fmt: skip
EXAMPLE = DialogueExample(
    task="inns", history=TURNS, knowledge=("Wifi is free.", "Pets are not."), outputs=("Yes, it is.",), location="a:1"
)
TEMPLATE = (
    "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] + '</s>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}"
)


def chatting(template: str = TEMPLATE) -> PretrainedText:
    text = byte_pairs()
    text.tokenizer.chat_template = template
    return PretrainedText(text.tokenizer, "causal")


def backbone(text: Text | None = None, name: str = "tiny-causal", reach: int = 0) -> Backbone:
    """A backbone that reads with `text`, for `encode` alone where that is not its own."""
    loaded = load_backbone(name)
    return replace(loaded, text=text or loaded.text, reach=reach)


def encoded(
    example: DialogueExample, text: Text | None = None, *, objective: Any = RESPONSE, name: str = "tiny-causal",
    **options: Any,
) -> Any:  # fmt: skip
    (row,) = objective.encode(backbone(text, name), TASKS, [example], TextOptions.model_validate(options))
    return row


def spelled(ids: Sequence[int], text: Text | None = None) -> str:
    """The text of tokens, ends of byte texts as $."""
    if isinstance(text, PretrainedText):
        return (
            "".join(text.tokenizer.convert_ids_to_tokens(list(ids))).replace("\u0120", " ").replace("\u010a", "\n")
        )  # as byte-level pairs write them
    return bytes(number - 3 if number > 2 else ord("$") for number in ids).decode()


def learned(row: Any, text: Text | None = None) -> str:
    return spelled([label for label in row.labels if label != IGNORED], text)


KNOWN = "<knowledge_tag> Wifi is free. <knowledge_sep> Pets are not."
BEFORE = f"{KNOWN} <user> An inn? <system> The Inn. <user> Is it free?"


def test_markers_stand_before_knowledge_snippets_and_turns() -> None:
    row = encoded(EXAMPLE, name="tiny-seq2seq")
    assert (spelled(row.input), spelled(row.output), row.cut) == (f"{BEFORE}$", "Yes, it is.$", False)
    row = encoded(replace(EXAMPLE, control=("<a>", "<b>"), instruction="Be brief."))
    assert spelled(row.input) == f"<a> <b> Be brief. {BEFORE} <system>$"
    assert spelled(encoded(replace(EXAMPLE, history=(), knowledge=())).input) == "<system>$"


def test_a_chat_template_holds_knowledge_as_the_message_of_the_system() -> None:
    text = chatting()
    row = encoded(replace(EXAMPLE, control=("<a>",), instruction="Be brief."), text)
    assert spelled(row.input, text) == (
        "[system]<a>\nBe brief.\nUse this: Wifi is free.\nPets are not.</s>\n[user]An inn?</s>\n"
        "[assistant]The Inn.</s>\n[user]Is it free?</s>\n[assistant]"
    )
    assert spelled(row.output, text) == "Yes, it is.</s>"
    assert spelled(encoded(replace(EXAMPLE, knowledge=()), text).input, text).startswith("[user]An inn?</s>")
    assert spelled(encoded(EXAMPLE, text, layout="markers").input, text) == f"<s>{BEFORE} <system>"
    other = chatting(TEMPLATE.replace("</s>", "<|turn|>"))  # an end that is not the tokenizer's
    assert spelled(encoded(EXAMPLE, other).output, other) == "Yes, it is.<|turn|></s>"
    thinking = chatting(
        TEMPLATE.replace("+ m['content']", "+ ('<think>' if m['role'] == 'assistant' else '') + m['content']")
    )
    assert spelled(encoded(EXAMPLE, thinking).output, thinking) == "<think>Yes, it is.</s>"


def test_all_responses_of_a_chat_are_learned_and_nothing_else() -> None:
    row = encoded(EXAMPLE, objective=CHAT)
    assert spelled(row.input) == BEFORE.replace("<system> The Inn. ", "<system>The Inn.$") + " <system>"
    assert learned(row) == "The Inn.$Yes, it is.$"
    text = chatting()
    row = encoded(EXAMPLE, text, objective=CHAT)
    assert row.input == encoded(EXAMPLE, text).input and learned(row, text) == "The Inn.</s>Yes, it is.</s>"
    assert row.n_written == len([label for label in row.labels if label != IGNORED])
    assert row.n_read + row.n_written == len(row.input) + len(row.output) == len(row.labels)


def test_a_template_that_cannot_write_a_dialogue_is_an_input_error() -> None:
    strict = chatting("{{ raise_exception('no system role') if messages[0]['role'] == 'system' else 'x' }}")
    with pytest.raises(InputError, match=r"refuses messages of the roles system, user.*no system role.*layout=markers"):
        encoded(EXAMPLE, strict)
    rewriting = chatting("{{ messages | length }}" + TEMPLATE)
    with pytest.raises(InputError, match=r"writes earlier messages otherwise.*tasks\.targets=each"):
        encoded(EXAMPLE, rewriting, objective=CHAT)


@for_cases(
    [
        {"options": {"max_history": 18}, "begin": "<user> Is it free? <system>", "knowledge": 2},
        {"options": {"max_history": 19}, "begin": "<system> The Inn. <user> Is it free? <system>", "knowledge": 2},
        {"options": {"max_history": 5}, "begin": "<user> free? <system>", "knowledge": 2},
        {"options": {"max_history": 0}, "begin": "<user> An inn? <system> The Inn. <user> Is", "knowledge": 2},
        {"options": {"max_knowledge": 17}, "begin": "<knowledge_tag> Wifi is free. <knowledge_sep> Pets <user>",
         "knowledge": 0},
        {"options": {"max_knowledge": 13}, "begin": "<knowledge_tag> Wifi is free. <user>", "knowledge": 0},
        {"options": {"max_knowledge": 4}, "begin": "<knowledge_tag> Wifi <user>", "knowledge": 0},
    ]
)  # fmt: skip
def test_the_newest_whole_turns_and_the_first_knowledge_stay(
    options: dict[str, Any], begin: str, knowledge: int
) -> None:
    row = encoded(EXAMPLE, **options)
    before = BEFORE[: BEFORE.index("<user>")] if knowledge else ""
    assert spelled(row.input).startswith(before + begin), spelled(row.input)
    assert row.cut == (options != {"max_history": 0})


def test_an_input_that_is_too_long_loses_turns_then_knowledge_then_the_beginning_of_the_last_turn() -> None:
    with pytest.raises(InputError, match=r"1 of 1 examples are longer than text\.max_input=100 .* \(longest: 121,"):
        encoded(EXAMPLE, max_input=100)
    expected = {
        120: f"{KNOWN} <system> The Inn. <user> Is it free? <system>$",
        90: f"{KNOWN} <user> Is it free? <system>$",
        80: "<knowledge_tag> Wifi is free. <knowledge_sep> Pets <user> Is it free? <system>$",
        30: "<user> Is it free? <system>$",
        22: "<user> free? <system>$",
    }
    for limit, text in expected.items():
        row = encoded(EXAMPLE, max_input=limit, too_long="truncate")
        assert (spelled(row.input), row.cut) == (text, True) and len(row.input) <= limit
    assert spelled(encoded(EXAMPLE, max_output=5, too_long="truncate").output) == "Yes,$"
    with pytest.raises(InputError, match="a:1: 9 tokens are too few for an input"):
        encoded(EXAMPLE, max_input=9, too_long="truncate")
    learned_row = encoded(EXAMPLE, objective=CHAT, max_input=80, too_long="truncate")
    assert learned(learned_row) == "Yes, it is.$" and len(learned_row.input) <= 80
    (row,) = RESPONSE.encode(backbone(reach=100), TASKS, [EXAMPLE], TextOptions(too_long="truncate", max_output=20))
    assert len(row.input) <= 80


def test_examples_that_share_sequences_lose_as_if_each_were_alone() -> None:
    causal = load_backbone("tiny-causal")
    tasks = {name: replace(TASK, name=name) for name in ("inns", "pubs")}
    examples = [
        replace(EXAMPLE, task=name, history=TURNS[: 1 + n % 3], outputs=(f"It is {n}. " * (1 + n % 4),))
        for name in tasks
        for n in range(5)
    ]
    model = bare(causal, [*tasks])
    for objective in (RESPONSE, CHAT):
        rows = objective.encode(causal, tasks, examples, TextOptions(packing=True, max_input=250, max_output=60))
        alone, shared = objective.collate(causal, rows), objective.collate(causal, rows, torch.Generator())
        assert len(shared.tasks) == len(shared.tokens) < len(alone.tokens) == len(rows)
        assert shared.n_tokens == alone.n_tokens == int(shared.mask.sum()) and shared.tokens.shape[1] <= 310
        assert shared.counts.sum() == alone.counts.sum()
        with mixing(model.inventory, model.router(shared.tasks)):
            loss = (objective.loss(model, shared) * shared.weights).sum()
            loss.backward()
        gradient = {name: p.grad.clone() for name, p in causal.network.named_parameters() if p.grad is not None}
        model.zero_grad()
        (objective.loss(model, alone) * alone.weights).sum().backward()
        assert gradient
        for name, parameter in causal.network.named_parameters():
            torch.testing.assert_close(gradient[name], parameter.grad, rtol=1e-3, atol=1e-6)
        model.zero_grad()


def test_bins_are_filled_by_the_longest_that_fit() -> None:
    assert bins([3, 9, 4, 6, 1], 10) == [[1, 4], [3, 2], [0]]
    assert bins([5], 5) == [[0]]


def test_positions_and_attention_end_with_an_example() -> None:
    members = torch.tensor([[1, 1, 2, 2, 2, 0]])
    assert positions_in(members).tolist() == [[0, 1, 0, 1, 2, 0]]
    seen = (attention_within(members, torch.float32)[0, 0] == 0).int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0],
        [0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1],
    ]  # fmt: skip


def test_packing_is_refused_where_attention_cannot_be_told_apart() -> None:
    causal = load_backbone("tiny-causal")
    model: Any = SimpleNamespace(
        config=SimpleNamespace(_attn_implementation="flash_attention_2"), forward=causal.model.forward
    )
    with pytest.raises(InputError, match=r"text\.packing=true does not fit.*sdpa, eager"):
        RESPONSE.encode(replace(causal, model=model), TASKS, [EXAMPLE], TextOptions(packing=True))
    (row,) = RESPONSE.encode(load_backbone("tiny-seq2seq"), TASKS, [EXAMPLE], TextOptions(packing=True))
    assert row.shared == 0


def test_inputs_are_messages_turns_or_what_the_user_says() -> None:
    forms: list[dict[str, Any]] = [
        {"input": "Is it free?", "knowledge": "Wifi is."},
        {"history": [{"speaker": "user", "text": "Is it free?"}], "knowledge": ["Wifi is."]},
        {"messages": [{"role": "user", "content": "Is it free?"}], "knowledge": ["Wifi is."], "control": ["<a>"]},
    ]
    causal = load_backbone("tiny-causal")
    rows = RESPONSE.ask(causal, TASK, [Question(fields=fields, where="a:1") for fields in forms], TextOptions())
    asked = "<knowledge_tag> Wifi is. <user> Is it free? <system>$"
    assert [spelled(row.input) for row in rows] == [f"<high-prec> {asked}"] * 2 + [f"<a> {asked}"]
    model = bare(causal, ["inns"])
    answers = RESPONSE.answer(model, rows, EvaluationOptions(batch=2), 5)
    assert len(answers) == 3 and answers[0] == answers[1] and all(isinstance(text, str) for text in answers)
    for fields, message in (
        ({"question": "a"}, "a:1: expected one of the fields messages, history, input; found question"),
        ({"history": [{"speaker": "me", "text": "a"}]}, "a:1, turn 1: unknown speaker 'me'"),
        ({"input": "a", "knowledge": 3}, "expected the field 'knowledge' with a list"),
        ({"input": "\ud800"}, "no valid Unicode"),
    ):
        with pytest.raises(InputError, match=message):
            RESPONSE.ask(causal, TASK, [Question(fields=fields, where="a:1")], TextOptions())
    with pytest.raises(InputError, match="there are none to rank"):
        RESPONSE.predict(model, rows, EvaluationOptions(method="rank"), 5)


def test_a_whole_chat_is_learned_by_a_causal_backbone_alone(tmp_path: Path) -> None:
    write_chats(tmp_path, chat("Hi.", "Yes?"))
    tasks = [*load("messages", tmp_path).tasks.values()]
    assert objective_for(load_backbone("tiny-causal"), tasks).name == "chat"
    with pytest.raises(InputError, match=r"needs a causal backbone.*tasks\.targets=each"):
        objective_for(load_backbone("tiny-seq2seq"), tasks)
    with pytest.raises(InputError, match="'inns' is scored by BLEU, which scores responses"):
        objective_for(load_backbone("tiny-causal"), [replace(TASK, objective="answers")])
    assert suite_of(TASK).tasks["inns"].form(TextOptions()).prompt == "Use this: {knowledge}"
