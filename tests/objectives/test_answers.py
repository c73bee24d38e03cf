"""Written and chosen answers: targets, losses, ranking, lengths."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from training_cases import KNOWN, SUITE, WORDS, answer_task, answers, no_examples, rows_of, spec, tiny_model
from transformers import (
    AutoModelForSeq2SeqLM,
    BlenderbotSmallConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MBartConfig,
    PreTrainedModel,
    T5Config,
)

from polyray.backbones import Backbone, load_backbone
from polyray.backbones.backbone import Kind
from polyray.backbones.text import ByteText
from polyray.errors import InputError
from polyray.modules.site import mixing, without_skills
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.objectives.answers import Answers
from polyray.objectives.choices import Choices, embed
from polyray.objectives.losses import IGNORED, mean_cross_entropy
from polyray.tasks import Task, TextAnswers
from polyray.training.evaluation import predictions
from polyray.training.model import Modular

ANSWERS = Answers()
BACKBONES = ("tiny-seq2seq", "tiny-causal", "tiny-encoder")
SPECIAL: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "vocab_size": ByteText.n_tokens}
WIDTHS: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}
SEQ2SEQ = {
    "t5": T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, **{**SPECIAL, "decoder_start_token_id": 0}),
    "mbart": MBartConfig(encoder_attention_heads=2, decoder_attention_heads=2, **WIDTHS, **SPECIAL),
    "blenderbot-small": BlenderbotSmallConfig(
        encoder_attention_heads=2, decoder_attention_heads=2, decoder_start_token_id=2, **WIDTHS, **SPECIAL
    ),
}


def backbone_of(model: PreTrainedModel, kind: Kind) -> Backbone:
    return Backbone(
        name="toy", revision="", kind=kind, family=model.config.model_type, model=model.eval(), text=ByteText(),
        fingerprint="",
    )  # fmt: skip


def writers() -> dict[str, Backbone]:
    """One network of each way to make a decoder's inputs, and a causal one."""
    torch.manual_seed(0)
    llama = LlamaConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, intermediate_size=16,
        **SPECIAL,
    )  # fmt: skip
    seq2seq = {name: backbone_of(AutoModelForSeq2SeqLM.from_config(x), "seq2seq") for name, x in SEQ2SEQ.items()}
    return {**seq2seq, "llama": backbone_of(LlamaForCausalLM(llama), "causal"), "bart": load_backbone("tiny-seq2seq")}


def answered(*outputs: str) -> list[TextAnswers]:
    return [TextAnswers(task="colour", input=f"{7**i}", outputs=(output,)) for i, output in enumerate(outputs)]


def test_the_weighted_sum_of_losses_is_the_mean_over_written_tokens_that_transformers_computes() -> None:
    for name, backbone in writers().items():
        rows = ANSWERS.encode(backbone, SUITE.tasks, answered("red", "bluish green", "x"), TextOptions())
        batch = ANSWERS.collate(backbone, rows)
        model = tiny_network(backbone)
        with torch.no_grad():
            losses = ANSWERS.loss(model, batch)
            labels = batch.labels
            if backbone.continues:  # transformers shifts the labels of causal models itself
                labels = torch.cat([torch.full((3, 1), IGNORED), labels[:, :-1]], 1)
            theirs = backbone.model(input_ids=batch.tokens, attention_mask=batch.mask, labels=labels).loss
        assert losses.shape == (3,)
        assert float((losses * batch.weights).sum()) == pytest.approx(float(theirs), rel=1e-6), name
        assert batch.weights.tolist() == pytest.approx([4 / 19, 13 / 19, 2 / 19]), "bytes and an end"


def tiny_network(backbone: Backbone) -> Modular:
    """The bare backbone as objectives take it: they read nothing else for a loss."""
    return cast(Modular, SimpleNamespace(backbone=backbone))


def test_mean_cross_entropy_by_hand() -> None:
    # uniform over 4 words: log 4 a token, whatever the number of tokens; certain: 0; no label: 0
    logits = torch.zeros(3, 3, 4)
    logits[1, :, 2] = 1e9
    labels = torch.tensor([[0, 1, IGNORED], [2, 2, 2], [IGNORED] * 3])
    assert mean_cross_entropy(logits, labels).tolist() == pytest.approx([torch.log(torch.tensor(4.0)).item(), 0, 0])


def test_a_causal_batch_counts_the_answer_alone_and_each_token_is_predicted_from_the_one_before() -> None:
    backbone = load_backbone("tiny-causal")
    rows = ANSWERS.encode(backbone, SUITE.tasks, answers("colour", 3), TextOptions())
    batch = ANSWERS.collate(backbone, rows)
    for index, row in enumerate(rows):
        counted = [int(label) for label in batch.labels[index] if label != IGNORED]
        assert backbone.text.decode(counted) == WORDS[index] and counted == list(row.output)
        first = len(row.input) - 1
        assert batch.labels[index, first] == batch.tokens[index, first + 1] == row.output[0]


def texts(of: Modular, names: Sequence[str], options: EvaluationOptions) -> list[str]:
    data = rows_of(of, SUITE, [x for name in names for x in answers(name, 3)])
    return predictions(of, data, options, max_output=8)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_tasks_predicted_in_one_batch_are_predicted_as_each_alone(backbone: str) -> None:
    of = tiny_model(backbone, [SUITE.tasks[name] for name in KNOWN], spec(n_splits=2))
    for options in ({}, {"beams": 3}, {"method": "rank"}, {"batch": 2}, {"method": "rank", "batch": 2}):
        evaluation = EvaluationOptions.model_validate(options)
        alone = [text for name in KNOWN for text in texts(of, [name], evaluation)]
        assert texts(of, KNOWN, evaluation) == alone


@pytest.mark.parametrize("backbone", BACKBONES[:2])
def test_ranking_takes_the_likeliest_answer(backbone: str) -> None:
    of = tiny_model(backbone, [SUITE.tasks[name] for name in KNOWN])
    data = rows_of(of, SUITE, answers("colour", 2))
    for row, text in zip(data.rows, predictions(of, data, EvaluationOptions(method="rank"), 8), strict=True):
        losses = {}
        for word in WORDS:
            example = replace(row.example, outputs=(word,))
            batch = ANSWERS.collate(of.backbone, ANSWERS.encode(of.backbone, SUITE.tasks, [example], TextOptions()))
            with mixing(of.inventory, of.router(batch.tasks)), torch.no_grad():
                losses[word] = float(ANSWERS.loss(of, batch))
        assert text == min(losses, key=lambda word: losses[word])


def test_a_task_without_a_closed_set_of_answers_cannot_be_ranked() -> None:
    of = tiny_model("tiny-seq2seq", [SUITE.tasks[name] for name in KNOWN])
    free = Task(name="colour", category="", metric="EM", labels=None, seeds=(0,), read=no_examples)
    rows = ANSWERS.encode(of.backbone, {"colour": free}, answers("colour", 1), TextOptions())
    with pytest.raises(InputError, match="'colour' has no closed set of answers to rank"):
        ANSWERS.predict(of, rows, EvaluationOptions(method="rank"), 8)


def test_long_texts_are_counted_before_anything_is_trained_and_cut_only_on_demand() -> None:
    long = [TextAnswers(task="colour", input="x" * 20 + "y" * 10, outputs=("red",)), *answers("colour", 1)]
    for objective, name in ((ANSWERS, "tiny-seq2seq"), (ANSWERS, "tiny-causal"), (Choices(), "tiny-encoder")):
        backbone = load_backbone(name)
        with pytest.raises(InputError, match=r"1 of 2 examples are longer .*text\.max_input=16.*31, task 'colour'"):
            objective.encode(backbone, SUITE.tasks, long, TextOptions(max_input=16))
        rows = objective.encode(backbone, SUITE.tasks, long, TextOptions(max_input=16, too_long="truncate"))
        assert [row.cut for row in rows] == [True, False]
        assert len(rows[0].input) == 16 and rows[0].input[-1] == backbone.text.eos
        assert backbone.text.decode(rows[0].input) == ("x" * 5 + "y" * 10 if backbone.continues else "x" * 15)


def test_an_answer_that_is_too_long_is_cut_behind_its_first_tokens() -> None:
    backbone = load_backbone("tiny-seq2seq")
    (row,) = ANSWERS.encode(
        backbone, SUITE.tasks, answered("turquoise"), TextOptions(max_output=4, too_long="truncate")
    )
    assert backbone.text.decode(row.output) == "tur" and row.n_written == 4 and row.cut


def test_candidates_are_embedded_once_without_skills_and_without_dropout() -> None:
    vectors = []
    for training in (False, True):
        of = tiny_model("tiny-encoder", [answer_task("colour")])
        dropouts = [module for module in of.network.modules() if isinstance(module, torch.nn.Dropout)]
        for module in dropouts:
            module.p = 0.3
        of.network.train(training)
        with without_skills(of.inventory):
            embed(of.backbone, WORDS)
        assert dropouts and of.network.training == training
        vectors.append(dict(of.backbone.anchors))
    assert set(vectors[0]) == set(WORDS)
    assert all(torch.equal(vectors[1][word], vector) for word, vector in vectors[0].items())


def test_a_chosen_answer_is_the_nearest_of_the_examples_own_candidates() -> None:
    of = tiny_model("tiny-encoder", [answer_task("colour")])
    choices = (("red", "blue"), ("green", "red"), ("blue",))
    examples = [TextAnswers(task="colour", input="red", outputs=(options[0],), choices=options) for options in choices]
    data = rows_of(of, SUITE, examples)
    batch = data.objective.collate(of.backbone, data.rows)
    with mixing(of.inventory, of.router(batch.tasks)), torch.no_grad():
        scores = Choices().scores(of, batch)
    assert batch.answers == ("red", "blue", "green") and batch.weights.tolist() == pytest.approx([1 / 3] * 3)
    assert (scores == float("-inf")).tolist() == [[False, False, True], [False, True, False], [True, False, True]]
    expected = [
        max(options, key=lambda text: scores[i, batch.answers.index(text)]) for i, options in enumerate(choices)
    ]
    assert predictions(of, data, EvaluationOptions(), 0) == expected
