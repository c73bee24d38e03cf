"""Classification: one text or two in one sequence of tokens, a head for each set of labels."""

from pathlib import Path

import pytest
import torch
from tokenizer_cases import byte_pairs, word_pieces
from tokenizers.processors import TemplateProcessing
from training_cases import no_examples, rows_of, suite_of, tiny_model, train_alone

from polyray.backbones import load_backbone
from polyray.backbones.pretrained_text import PretrainedText
from polyray.backbones.text import ByteText, Text
from polyray.config import load_config
from polyray.errors import InputError
from polyray.modules.site import mixing
from polyray.objectives import EvaluationOptions, TextOptions, head_of
from polyray.objectives.classification import Classification, LabelHead
from polyray.objectives.pairs import joined, shares
from polyray.tasks import LabelledTexts, Task
from polyray.training.evaluation import predictions
from polyray.training.prediction import predict
from polyray.training.recipe import TrainingRecipe
from polyray.training.scoring import ScoringRecipe, Share, score_share

LABELS = ("contradiction", "entailment", "neutral")
CLASSIFICATION = Classification()


def nli(name: str, labels: tuple[str, ...] = LABELS) -> Task:
    return Task(
        name=name, category="", metric="Label-ACC", labels=labels, seeds=(0,), read=no_examples,
        objective="classification", prompt="{premise} {hypothesis}",
    )  # fmt: skip


SUITE = suite_of(nli("eng"), nli("aym"), nli("mood", ("bad", "good")))


def pair(premise: str, hypothesis: str, label: str = "neutral", task: str = "eng") -> LabelledTexts:
    return LabelledTexts(task=task, texts=(premise, hypothesis), label=label)


@pytest.mark.parametrize("text", [word_pieces(), byte_pairs(), ByteText()])
def test_two_texts_are_joined_as_the_tokenizer_joins_them(text: Text) -> None:
    backbone = load_backbone("tiny-encoder")
    backbone.text = text
    both = joined(backbone, ("in New", "York"), 100)
    if isinstance(text, PretrainedText):
        assert list(both.ids) == text.tokenizer("in New", "York")["input_ids"]
    assert both.ids[both.second : -len(text.suffix)] == tuple(text.bare("York")) and both.full == len(both.ids)
    assert joined(backbone, ("in New",), 100).ids == tuple(text.encode("in New"))


def test_a_tokenizer_that_puts_nothing_between_two_texts_is_refused() -> None:
    text = word_pieces()
    text.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    with pytest.raises(InputError, match="no way to join two texts"):
        _ = text.between


def test_the_longer_of_two_texts_gives_way_first_and_special_tokens_stay() -> None:
    assert [shares(lengths, 6) for lengths in ([2, 3], [9, 2], [2, 9], [9, 9], [9])] == [
        [2, 3], [4, 2], [2, 4], [3, 3], [6],
    ]  # fmt: skip
    assert [shares(lengths, 5) for lengths in ([9, 9], [3, 9], [9, 1])] == [[2, 3], [2, 3], [4, 1]]
    backbone = load_backbone("tiny-encoder")
    both = joined(backbone, ("abcdefgh", "xy"), 7)
    assert backbone.text.decode(both.ids) == "abc" and both.ids[3] == both.ids[6] == backbone.text.eos
    assert (both.second, both.full, len(both.ids)) == (4, 12, 7)
    with pytest.raises(InputError, match=r"1 of 1 examples are longer than text\.max_input=7 .*longest: 12"):
        CLASSIFICATION.encode(backbone, SUITE.tasks, [pair("abcdefgh", "xy")], TextOptions(max_input=7))
    cut = TextOptions(max_input=7, too_long="truncate")
    (row,) = CLASSIFICATION.encode(backbone, SUITE.tasks, [pair("abcdefgh", "xy")], cut)
    assert row.cut and row.input == both.ids


def test_second_texts_are_in_the_second_segment_where_the_backbone_knows_segments() -> None:
    backbone = load_backbone("tiny-encoder")
    rows = CLASSIFICATION.encode(backbone, SUITE.tasks, [pair("ab", "c"), pair("a", "bcd")], TextOptions())
    batch = CLASSIFICATION.collate(backbone, rows)
    assert batch.segments is not None
    assert batch.segments.tolist() == [[0, 0, 0, 1, 1, 0], [0, 0, 1, 1, 1, 1]]
    pieces = word_pieces()
    pieces.tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    assert (pieces.second_segment, word_pieces().second_segment, byte_pairs().second_segment) == (1, 0, 0)
    backbone.model.config.type_vocab_size = 1
    assert CLASSIFICATION.collate(backbone, rows).segments is None


def test_the_loss_and_the_mean_over_tokens_by_hand() -> None:
    """A head of zeros finds all labels equally likely; padding does not enter the mean over tokens."""
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    data = rows_of(model, SUITE, [pair("a", "b"), pair("a long premise", "with a hypothesis", "entailment")])
    batch = CLASSIFICATION.collate(model.backbone, data.rows)
    assert batch.weights.tolist() == [0.5, 0.5] and batch.labels.tolist() == [2, 1]
    alone = predictions(model, rows_of(model, SUITE, [data.examples[0]]), EvaluationOptions(), 0)
    assert predictions(model, data, EvaluationOptions(), 0)[0] == alone[0]
    with torch.no_grad(), mixing(model.inventory, model.router(batch.tasks)):
        for parameter in model.heads.parameters():
            parameter.zero_()
        assert CLASSIFICATION.loss(model, batch).tolist() == pytest.approx([torch.tensor(3.0).log().item()] * 2)


def test_the_loss_is_that_of_the_mean_over_what_the_network_itself_says_of_each_token() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    batch = CLASSIFICATION.collate(
        model.backbone, rows_of(model, SUITE, [pair("a", "b"), pair("a long premise", "with a hypothesis")]).rows
    )
    with torch.no_grad(), mixing(model.inventory, model.router(batch.tasks)):
        hidden = model.backbone.model(
            input_ids=batch.tokens, attention_mask=batch.mask, token_type_ids=batch.segments
        ).last_hidden_state
        means = [row[: int(mask.sum())].mean(0) for row, mask in zip(hidden, batch.mask, strict=True)]
        logits = model.heads[CLASSIFICATION.head_key(SUITE.tasks["eng"])](torch.stack(means))
        expected = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none")
        torch.testing.assert_close(CLASSIFICATION.loss(model, batch), expected)


def test_heads_belong_to_sets_of_labels_and_labels_that_none_knows_are_refused() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"], SUITE.tasks["mood"]])
    assert set(model.heads) == {f"classification:{','.join(LABELS)}", "classification:bad,good"}
    head = head_of(model.backbone, "classification:bad,good")
    assert isinstance(head, LabelHead) and head.out.weight.shape == (2, 64)
    mixed = rows_of(model, SUITE, [pair("a", "b", "good", "mood"), pair("a", "b")])
    predicted = predictions(model, mixed, EvaluationOptions(), 0)
    assert predicted[0] in ("bad", "good") and predicted[1] in LABELS
    with pytest.raises(InputError, match="'eng' has the labels contradiction, .*an example has 'maybe'"):
        rows_of(model, SUITE, [pair("a", "b", "maybe")])
    del model.heads[CLASSIFICATION.head_key(SUITE.tasks["eng"])]
    with pytest.raises(InputError, match="no head for the labels contradiction.*known heads have the labels bad, good"):
        predictions(model, mixed, EvaluationOptions(), 0)


def test_pairs_are_learned_scored_again_and_predicted_from_the_folder_of_skills(tmp_path: Path) -> None:
    rows = [f"{a} {n}\t{b} {n}\t{'same' if b == 'a' else 'other'}" for n in range(3) for a in "ab" for b in "ab"]
    for task in ("eng", "aym"):
        for split in ("train", "dev", "test"):
            file = tmp_path / "data" / split / f"{task}.tsv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(["one\ttwo\tlabel", *rows]) + "\n")
    suite = ("suite=classification", f"tasks.path={tmp_path / 'data'}", "tasks.texts=[one,two]")
    tiny = ("backbone=tiny-encoder", "training.steps=18", "training.batch=12", "training.report_every=18",
            "training.lr=1e-2", "training.backbone_lr=5e-3", "modules.rank=2", "modules.sites=[ffn]",
            "routing.n_skills=2")  # fmt: skip
    metrics = train_alone(tmp_path, load_config(TrainingRecipe, overrides=[*tiny, *suite]))
    assert metrics["tasks"]["aym"] == {"Label-ACC": 1.0, "macro_f1": 1.0}
    recipe = load_config(ScoringRecipe, overrides=[*suite, f"skills={tmp_path / 'skills'}"])
    scores = score_share(Share(recipe=recipe, out=tmp_path, tasks=("aym", "eng")))["scores"]
    assert scores == metrics["tasks"]
    fields = {"one": "a 1", "two": "b 1"}
    assert predict(tmp_path / "skills", "eng", [fields]) == ["other"]
    with pytest.raises(InputError, match="reads the fields one, two; 'one' is missing"):
        predict(tmp_path / "skills", "eng", ["a 1"])
