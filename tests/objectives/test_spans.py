"""Extractive question answering: windows of a context, ends of answers, the best span of all windows."""

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tokenizer_cases import byte_pairs, word_pieces
from training_cases import no_examples, rows_of, suite_of, tiny_model, train_alone

from polyray.backbones import load_backbone
from polyray.backbones.text import ByteText, Text
from polyray.config import load_config
from polyray.errors import InputError
from polyray.metrics import METRICS
from polyray.modules.site import mixing
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.objectives.losses import IGNORED
from polyray.objectives.spans import Spans
from polyray.objectives.windows import windows
from polyray.tasks import ContextQuestion, Task
from polyray.training.evaluation import predictions
from polyray.training.prediction import predict
from polyray.training.recipe import TrainingRecipe
from polyray.training.scoring import ScoringRecipe, Share, score_share

SPANS = Spans()
SUITE = suite_of(
    Task(
        name="eng", category="", metric="Span-F1", labels=None, seeds=(0,), read=no_examples, objective="spans",
        prompt="{question} {context}",
    )
)  # fmt: skip


def ask(question: str, context: str, answer: str) -> ContextQuestion:
    start = context.index(answer)
    return ContextQuestion(
        task="eng", id="1", question=question, context=context, answers=(answer,), starts=(start,)
    )  # fmt: skip


def test_windows_cover_everything_and_share_as_many_tokens_as_asked() -> None:
    for n, room, overlap in ((10, 4, 2), (9, 4, 2), (3, 4, 2), (4, 4, 2), (5, 4, 3), (7, 1, 0), (0, 4, 1)):
        spans = windows(n, room, overlap)
        assert spans[0][0] == 0 and spans[-1][1] == n
        assert all(0 < end - start <= room for start, end in spans) or n == 0
        assert all(before[1] - after[0] == overlap for before, after in pairwise(spans))
        assert len(spans) == 1 or spans[-2][1] < n  # none is too many


@pytest.mark.parametrize("text", [word_pieces(), byte_pairs(), ByteText()])
def test_the_ends_of_an_answer_are_tokens_whose_letters_are_the_answer(text: Text) -> None:
    backbone = load_backbone("tiny-encoder")
    backbone.text = text
    example = ask("in", "in New York in", "New York")
    (row,) = SPANS.encode(backbone, SUITE.tasks, [example], TextOptions())
    assert row.input == (*text.prefix, *text.bare("in"), *text.between, *text.bare(example.context), *text.suffix)
    first, last = (end - row.second for end in row.ends)
    assert example.context[row.letters[first][0] : row.letters[last][1]].strip() == "New York"
    assert row.nowhere == (0 if text.prefix else len(row.input) - 1) and not row.others
    batch = SPANS.collate(backbone, [row])
    allowed = {row.nowhere, *range(row.second, row.second + len(text.bare(example.context)))}
    assert set(batch.allowed[0].nonzero()[:, 0].tolist()) == allowed


def test_a_long_context_is_read_in_windows_of_which_training_draws_one() -> None:
    backbone = load_backbone("tiny-encoder")
    example = ask("who", "bcdefghijklmnopqrstuAdavwxyz1234", "Ada")
    (row,) = SPANS.encode(backbone, SUITE.tasks, [example], TextOptions(max_input=17, stride=4))
    # 17 - "who" - two ends leave 12 letters: 0-12, 8-20, 16-28, 24-32; the third has the answer
    every = sorted((row, *row.others), key=lambda one: one.letters[0])
    assert [(one.letters[0][0], one.letters[-1][1]) for one in every] == [(0, 12), (8, 20), (16, 28), (24, 32)]
    assert row.letters[0][0] == 16 and row.ends == (4 + 4, 4 + 6)
    assert all(one.ends == (one.n_read - 1,) * 2 == (one.nowhere,) * 2 for one in row.others)
    assert SPANS.collate(backbone, [row]).ends.tolist() == [[8, 10]]
    draw = torch.Generator().manual_seed(0)
    drawn = [tuple(SPANS.collate(backbone, [row], draw).tokens[0].tolist()) for _ in range(200)]
    counts = [drawn.count(one.input) for one in every]
    assert sum(counts) == 200 and min(counts) > 25
    half = SPANS.encode(backbone, SUITE.tasks, [example], TextOptions(max_input=17, stride=100))[0]
    assert sorted(one.letters[0][0] for one in (half, *half.others)) == [0, 6, 12, 18, 24][: 1 + len(half.others)]


class Oracle(torch.nn.Module):
    """A head whose scores are high at the letters a and z: an answer begins at a and ends at z."""

    def __init__(self, tokens: dict[int, tuple[float, float]]) -> None:
        super().__init__()
        self.tokens, self.ids = tokens, torch.empty(0)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(*self.ids.shape, 2)
        for token, pair in self.tokens.items():
            scores[self.ids == token] = torch.tensor(pair)
        return scores


def test_the_best_span_of_all_windows_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    letter = {x: model.backbone.text.bare(x)[0] for x in "azqu"}
    head = Oracle({letter["a"]: (9.0, 0.0), letter["z"]: (0.0, 9.0), letter["q"]: (5.0, 5.0)})
    model.heads["spans"] = head
    read = model.backbone.model.forward

    def forward(input_ids: torch.Tensor, **named: torch.Tensor) -> object:
        head.ids = input_ids
        return read(input_ids=input_ids, **named)

    monkeypatch.setattr(model.backbone.model, "forward", forward)
    examples = [
        ask("w", "z.........q.........a123z....", "q"),  # the span of a later window
        ask("a z", "q..", "q"),  # never a part of the question
        ask("w", "z...a.......q", "q"),  # z before a, and a to any later letter is not as good
        ask("w", " a. z ", "a"),
    ]
    data = rows_of(model, SUITE, examples, TextOptions(max_input=14, stride=4))
    assert predictions(model, data, EvaluationOptions(batch=3), 5) == ["a123z", "q", "q", "a. z"]
    assert predictions(model, data, EvaluationOptions(), 4)[0] != "a123z"  # which has five tokens


def test_the_loss_of_a_head_that_knows_nothing_by_hand() -> None:
    """Each of the context's five letters, and the end that stands for no answer, is as likely: log 6."""
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    data = rows_of(model, SUITE, [ask("who", "I Ada", "Ada"), ask("a longer question", "me Ad", "me")])
    batch = SPANS.collate(model.backbone, data.rows)
    assert batch.weights.tolist() == [0.5, 0.5]
    with torch.no_grad(), mixing(model.inventory, model.router(batch.tasks)):
        for parameter in model.heads.parameters():
            parameter.zero_()
        assert SPANS.loss(model, batch).tolist() == pytest.approx([torch.tensor(6.0).log().item()] * 2)


def test_the_loss_is_that_of_what_the_network_itself_says_of_each_token() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    data = rows_of(model, SUITE, [ask("who", "I Ada", "Ada"), ask("a longer question", "me Ad", "me")])
    batch = SPANS.collate(model.backbone, data.rows)
    with torch.no_grad(), mixing(model.inventory, model.router(batch.tasks)):
        hidden = model.backbone.model(
            input_ids=batch.tokens, attention_mask=batch.mask, token_type_ids=batch.segments
        ).last_hidden_state
        scores = model.heads["spans"](hidden)
        expected = []
        for row, allowed, ends in zip(scores, batch.allowed, batch.ends, strict=True):
            chances = row.masked_fill(~allowed[:, None], float("-inf")).log_softmax(0)
            expected.append(-(chances[ends[0], 0] + chances[ends[1], 1]) / 2)
        torch.testing.assert_close(SPANS.loss(model, batch), torch.stack(expected))


def test_a_question_that_is_too_long_is_refused_or_cut_and_one_without_an_answer_counts_nothing() -> None:
    backbone = load_backbone("tiny-encoder")
    example = ask("w" * 30, "I Ada", "Ada")
    with pytest.raises(InputError, match=r"1 of 1 examples are longer than text\.max_input=22"):
        SPANS.encode(backbone, SUITE.tasks, [example], TextOptions(max_input=22))
    (row,) = SPANS.encode(backbone, SUITE.tasks, [example], TextOptions(max_input=22, too_long="truncate"))
    assert row.cut and row.n_read == 10 + 2 + 5
    bare = ContextQuestion(task="eng", id="1", question="who", context="me", answers=(), starts=())
    (row,) = SPANS.encode(backbone, SUITE.tasks, [bare], TextOptions())
    batch = SPANS.collate(backbone, [row])
    assert row.ends == (IGNORED, IGNORED) and batch.counts.tolist() == [False]


def test_f1_and_exact_match_by_hand() -> None:
    # "the cat sat" and "cat": 1 of 2 and of 1 words, 2/3; "Dog!" is "dog" once normalised
    examples = [SimpleNamespace(answers=("a cat", "x")), SimpleNamespace(answers=("dog",))]
    predicted = ["the cat sat", "Dog!"]
    assert METRICS["Span-F1"].score(predicted, examples) == {"Span-F1": pytest.approx(5 / 6), "exact_match": 0.5}
    assert METRICS["Span-EM"].score(predicted, examples) == {"Span-EM": 0.5, "f1": pytest.approx(5 / 6)}


def test_answers_are_learned_scored_again_and_found_in_new_contexts(tmp_path: Path) -> None:
    contexts = [f"{'ab' * (n % 3)} {number} {'cd' * (n % 4)}" for n, number in enumerate("12345678" * 2)]
    rows = [{"question": "n", "context": context, "answers": [
        {"text": context.split()[n % 3 > 0], "answer_start": context.index(context.split()[n % 3 > 0])}
    ]} for n, context in enumerate(contexts)]  # fmt: skip
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = ("suite=squad", f"tasks.path={tmp_path}", "text.max_output=1")
    tiny = ("backbone=tiny-encoder", "training.steps=18", "training.batch=8", "training.report_every=18",
            "training.lr=1e-2", "training.backbone_lr=5e-3", "modules.rank=2", "modules.sites=[ffn]",
            "routing.n_skills=2", "tasks.train_splits=[train]")  # fmt: skip
    out = tmp_path / "run"
    out.mkdir()
    metrics = train_alone(out, load_config(TrainingRecipe, overrides=[*tiny, *suite]))
    (name,) = metrics["tasks"]
    assert metrics["tasks"][name] == {"Span-F1": 1.0, "exact_match": 1.0}
    recipe = load_config(ScoringRecipe, overrides=[*suite, f"skills={out / 'skills'}"])
    assert score_share(Share(recipe=recipe, out=out, tasks=(name,)))["scores"] == metrics["tasks"]
    assert predict(out / "skills", name, [{"question": "n", "context": "ab 7 cdcd"}]) == ["7"]
    with pytest.raises(InputError, match="reads the fields question, context; 'question' is missing"):
        predict(out / "skills", name, ["ab 7 cdcd"])
