"""Sequence tagging: tags stand at the first token of each word, heads belong to sets of tags."""

from pathlib import Path

import pytest
import torch
from tokenizer_cases import byte_pairs, word_pieces
from training_cases import answer_task, no_examples, rows_of, suite_of, tiny_model

from polyray.backbones import load_backbone
from polyray.backbones.text import ByteText, Text
from polyray.errors import InputError
from polyray.modules.site import mixing
from polyray.objectives import EvaluationOptions, TextOptions, head_of, objective_for
from polyray.objectives.labels import LinearHead, labels_of
from polyray.objectives.losses import IGNORED
from polyray.objectives.tagging import Tagging
from polyray.tasks import TaggedWords, Task
from polyray.training.evaluation import predictions
from polyray.training.model import Modular

TAGGING = Tagging()
TAGS = ("B-LOC", "I-LOC", "O")


def tag_task(name: str, tags: tuple[str, ...] = TAGS, metric: str = "Entity-F1") -> Task:
    return Task(
        name=name, category="", metric=metric, labels=tags, seeds=(0,), read=no_examples, objective="tagging"
    )  # fmt: skip


def sentence(words: str, tags: str, task: str = "eng") -> TaggedWords:
    return TaggedWords(task=task, words=tuple(words.split()), tags=tuple(tags.split()))


NEW_YORK = sentence("in New York", "O B-LOC I-LOC")
SUITE = suite_of(tag_task("eng"), tag_task("hau"), tag_task("pos", ("N", "V"), "Tag-ACC"))


@pytest.mark.parametrize(
    ("text", "first", "n_tokens"),
    [
        (word_pieces(), [1, 2, 4], 8),  # [CLS] in Ne ##w Y ##or ##k [SEP]
        (byte_pairs(), [1, 2, 6], 12),  # <s> Ġin Ġ N e w Ġ Y o r k </s>
        (ByteText(), [0, 3, 7], 12),  # i n _ N e w _ Y o r k end
    ],
)
def test_the_tags_of_three_words_stand_at_their_first_tokens(text: Text, first: list[int], n_tokens: int) -> None:
    backbone = load_backbone("tiny-encoder")
    backbone.text = text
    (row,) = TAGGING.encode(backbone, SUITE.tasks, [NEW_YORK], TextOptions())
    assert (list(row.first), row.labels, row.n_read, row.cut) == (first, (2, 0, 1), n_tokens, False)
    assert row.input == (*text.prefix, *(i for piece in text.pieces(NEW_YORK.words) for i in piece), *text.suffix)
    batch = TAGGING.collate(backbone, [row])
    labels = [IGNORED] * n_tokens
    for position, label in zip(first, (2, 0, 1), strict=True):
        labels[position] = label
    assert batch.labels.tolist() == [labels]


def test_words_in_a_sentence_are_tokenized_as_in_running_text_and_an_odd_one_is_unknown() -> None:
    pieces = word_pieces()
    assert pieces.pieces(["in", "\u200b", "York"]) == [[5], [1], [8, 9, 10]]
    assert pieces.encode("in York") == [*pieces.prefix, 5, 8, 9, 10, *pieces.suffix]
    assert pieces.pieces([]) == []
    text = byte_pairs()
    assert [i for piece in text.pieces(["York", "in"]) for i in piece] == text.encode(" York in")[1:-1]


def test_a_long_sentence_is_refused_or_cut_between_words_and_its_last_words_are_outside() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    with pytest.raises(InputError, match=r"1 of 1 examples are longer than text\.max_input=8 tokens \(longest: 12, "):
        TAGGING.encode(model.backbone, SUITE.tasks, [NEW_YORK], TextOptions(max_input=8))
    data = rows_of(model, SUITE, [NEW_YORK], TextOptions(max_input=8, too_long="truncate"))
    (row,) = data.rows  # "in New ", for "York" does not fit beside the end
    assert (row.first, row.labels, row.n_read, row.cut) == ((0, 3), (2, 0), 8, True)
    (tags,) = predictions(model, data, EvaluationOptions(), 0)
    assert len(tags) == 3 and tags[2] == "O"


def test_a_long_sentence_can_be_read_in_pieces_of_whole_words_of_which_training_draws_one() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    long = sentence("in New York at home", "O B-LOC I-LOC O O")
    split = TextOptions(max_input=8, too_long="split")
    data = rows_of(model, SUITE, [long, sentence("at", "O")], split)
    row = data.rows[0]  # "in New ", "York ", "at " and an end; "home" would be one token too many
    assert [len(piece.first) for piece in (row, *row.others)] == [2, 1, 2] and not row.cut
    assert [piece.labels for piece in (row, *row.others)] == [(2, 0), (1,), (2, 2)]
    (tags, single) = predictions(model, data, EvaluationOptions(), 0)
    alone = [sentence("in New", "O B-LOC"), sentence("York", "I-LOC"), sentence("at home", "O O")]
    pieces = predictions(model, rows_of(model, SUITE, alone), EvaluationOptions(), 0)
    assert len(tags) == 5 and len(single) == 1
    assert tags[3:] == pieces[2]  # the last piece has no space behind it, as it has alone
    draw = torch.Generator().manual_seed(0)
    counts = [TAGGING.collate(model.backbone, data.rows, draw).counts.tolist()[0] for _ in range(60)]
    assert set(counts) == {1, 2} and 10 < counts.count(1) < 30
    assert TAGGING.collate(model.backbone, data.rows).counts.tolist() == [2, 1]
    with pytest.raises(InputError, match=r"1 of 1 examples .*longest: 14.*truncate to cut them\.$"):
        rows_of(model, SUITE, [sentence("in Timbuktuuu", "O B-LOC")], split.model_copy(update={"max_input": 9}))
    with pytest.raises(InputError, match="or split to read them in pieces"):
        rows_of(model, SUITE, [long], TextOptions(max_input=8))


def test_the_loss_is_the_mean_over_words_by_hand() -> None:
    """A head of zeros finds all three tags equally likely: log 3 for every word, whatever their number."""
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    examples = [NEW_YORK, sentence("x", "O")]
    batch = TAGGING.collate(model.backbone, rows_of(model, SUITE, examples).rows)
    assert batch.weights.tolist() == pytest.approx([3 / 4, 1 / 4])
    with torch.no_grad(), mixing(model.inventory, model.router(batch.tasks)):
        for parameter in model.heads.parameters():
            parameter.zero_()
        assert TAGGING.loss(model, batch).tolist() == pytest.approx([torch.tensor(3.0).log().item()] * 2)


class Oracle(torch.nn.Module):
    """A head that knows the right tags of a batch."""

    def __init__(self, labels: torch.Tensor, n_tags: int) -> None:
        super().__init__()
        self.logits = torch.nn.functional.one_hot(labels.clamp_min(0), n_tags).float()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.logits[:, : hidden.shape[1]]


def test_the_predictions_of_a_perfect_head_score_one() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    data = rows_of(model, SUITE, [NEW_YORK, sentence("at X Y", "O B-LOC B-LOC")])
    model.heads[TAGGING.head_key(SUITE.tasks["eng"])] = Oracle(TAGGING.collate(model.backbone, data.rows).labels, 3)
    tags = predictions(model, data, EvaluationOptions(), 0)
    assert tags == [example.tags for example in data.examples]
    assert SUITE.tasks["eng"].score(tags, data.examples)["Entity-F1"] == 1.0


def test_tasks_with_equal_tags_share_a_head_and_others_have_their_own_in_one_batch() -> None:
    model = tiny_model("tiny-encoder", list(SUITE.tasks.values()))
    assert set(model.heads) == {"tagging:B-LOC,I-LOC,O", "tagging:N,V"}
    examples = [NEW_YORK, sentence("a b", "N V", "pos"), sentence("c New York", "O B-LOC I-LOC", "hau")]
    data = rows_of(model, SUITE, examples)
    together = predictions(model, data, EvaluationOptions(), 0)
    alone = [predictions(model, rows_of(model, SUITE, [x]), EvaluationOptions(), 0)[0] for x in examples]
    assert together == alone and set(together[1]) <= {"N", "V"}


def test_a_key_names_the_tags_whatever_characters_they_have() -> None:
    tags = (".", ",", "$.", "a:b", "x/y", "%", "Ünder_s", "``")
    key = TAGGING.head_key(tag_task("odd", tags))
    assert labels_of(key) == tags and not set("./") & set(key)
    head = head_of(load_backbone("tiny-encoder"), key)
    assert isinstance(head, LinearHead) and head.weight.shape == (8, 64)
    torch.nn.ModuleDict({key: head})  # torch refuses names with a dot


def test_tags_that_no_head_knows_are_refused_with_the_known_ones() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["pos"]])
    data = rows_of(model, SUITE, [sentence("a b", "O O", "eng")])
    router = tiny_model("tiny-encoder", [SUITE.tasks["eng"]]).router
    mixed = Modular(model.backbone, model.inventory, router, dict(model.heads.items()))
    with pytest.raises(InputError, match=r"no head for the labels B-LOC, I-LOC, O; known heads have the labels N, V\."):
        predictions(mixed, data, EvaluationOptions(), 0)


def test_what_does_not_fit_tagging_is_refused() -> None:
    with pytest.raises(InputError, match=r"'eng' has the objective 'tagging', which needs an encoder; .*tiny-seq2seq"):
        objective_for(load_backbone("tiny-seq2seq"), [SUITE.tasks["eng"]])
    encoder = load_backbone("tiny-encoder")
    with pytest.raises(InputError, match=r"'eng' is scored by EM, which scores answers; .* one of: Entity-F1, Tag-ACC"):
        objective_for(encoder, [tag_task("eng", metric="EM")])
    with pytest.raises(InputError, match="'colour' has 'answers', 'eng' has 'tagging'"):
        objective_for(encoder, [answer_task("colour"), SUITE.tasks["eng"]])
    with pytest.raises(InputError, match="has the labels B-LOC, I-LOC, O; an example has 'B-PER'"):
        TAGGING.encode(encoder, SUITE.tasks, [sentence("a", "B-PER")], TextOptions())
    with pytest.raises(InputError, match="'eng' has no labels"):
        TAGGING.head_key(tag_task("eng", ()))


def test_a_head_begins_with_small_weights_drawn_by_its_generator() -> None:
    first, same, other = (LinearHead(64, 50, 0.0, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.weight, same.weight) and not torch.equal(first.weight, other.weight)
    assert float(first.weight.detach().std()) == pytest.approx(0.02, rel=0.05) and not first.bias.any()


def test_a_head_drops_features_in_training_alone() -> None:
    head = LinearHead(64, 2, 0.5, torch.Generator().manual_seed(0))
    hidden = torch.ones(1, 64)
    assert torch.equal(head.eval()(hidden), head(hidden)) and not torch.equal(head.train()(hidden), head.eval()(hidden))


def test_a_pretrained_tokenizer_comes_back_from_its_folder(tmp_path: Path) -> None:
    word_pieces().save(tmp_path)
    assert (tmp_path / "tokenizer.json").exists()
