"""Dependency parsing: word means, biaffine scores and best trees, each against a slow version."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from training_cases import no_examples, rows_of, suite_of, tiny_model, train_alone

from polyray.backbones import load_backbone
from polyray.config import load_config
from polyray.errors import InputError
from polyray.modules.site import mixing
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.objectives.losses import IGNORED
from polyray.objectives.parser_head import ParserHead
from polyray.objectives.parsing import Parsing
from polyray.objectives.trees import best_tree
from polyray.tasks import ParsedWords, Task
from polyray.training.evaluation import predictions
from polyray.training.prediction import predict
from polyray.training.recipe import TrainingRecipe
from polyray.training.scoring import ScoringRecipe, Share, score_share

PARSING = Parsing()
GREEDY = EvaluationOptions(tree="greedy")
SUITE = suite_of(
    Task(
        name="eng", category="", metric="las", labels=("nsubj", "obj", "root"), seeds=(0,), read=no_examples,
        objective="parsing",
    )
)  # fmt: skip
DOGS = ParsedWords(task="eng", words=("Dogs", "eat", "it"), heads=(2, 0, 2), relations=("nsubj", "root", "obj"))


def trees(n: int) -> list[tuple[int, ...]]:
    """All heads of n words that make a tree with one root."""
    every = []
    for heads in product(*([head for head in range(n + 1) if head != word] for word in range(1, n + 1))):
        reached = {0}
        for _ in range(n):
            reached |= {word for word in range(1, n + 1) if heads[word - 1] in reached}
        if heads.count(0) == 1 and len(reached) == n + 1:
            every.append(heads)
    return every


def test_the_best_tree_is_the_best_of_all_trees_one_by_one() -> None:
    draw = np.random.default_rng(0)
    for n in range(1, 6):
        every = trees(n)
        assert len(every) == n ** (n - 1)  # Cayley's formula: labelled trees with a root
        for scale in (0.0, 100.0, *[1.0] * 30):
            scores = draw.normal(size=(n, n + 1)) * scale + draw.normal() * 1000
            scores[:, 0] += draw.normal() * scale  # the root is wanted by all, or by none
            for word in range(n):
                scores[word, word + 1] = draw.choice([-np.inf, 1e9])  # a word's own column is not read
            total = max(sum(scores[word, head] for word, head in enumerate(heads)) for heads in every)
            heads = tuple(best_tree(scores))
            assert heads in every
            assert sum(scores[word, head] for word, head in enumerate(heads)) == pytest.approx(total, abs=1e-6)


def test_biaffine_scores_equal_sums_over_features_one_by_one() -> None:
    head = ParserHead(3, 2, 0.0, torch.Generator().manual_seed(0))
    hidden = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(1))
    words = torch.tensor([[0, 1, 1, 2, 2, 0]])
    head.requires_grad_(False)
    nodes, arcs = head(hidden, words, 2)
    vectors = [torch.tanh(head.root(hidden[0, 0])), hidden[0, 1:3].mean(0), hidden[0, 3:5].mean(0)]
    torch.testing.assert_close(nodes[0], torch.stack(vectors))
    for word, other in ((1, 0), (1, 2), (2, 0), (2, 1)):
        dependent = [*vectors[word].tolist(), 1.0]
        governor = [*vectors[other].tolist(), 1.0]
        arc = sum(dependent[i] * float(head.arc[i, j]) * governor[j] for i in range(4) for j in range(3))
        assert float(arcs[0, word - 1, other]) == pytest.approx(arc, rel=1e-4, abs=1e-6)
        heads = torch.tensor([[other, other]])
        for number, weight in enumerate(head.relation):
            score = sum(dependent[i] * float(weight[i, j]) * governor[j] for i in range(4) for j in range(4))
            assert float(head.relations(nodes, heads)[0, word - 1, number]) == pytest.approx(score, rel=1e-4, abs=1e-6)
    assert arcs[0, 0, 1] == arcs[0, 1, 2] == float("-inf")  # no word is its own head


def test_rows_know_the_word_of_each_token_and_batches_what_is_true() -> None:
    backbone = load_backbone("tiny-encoder")
    last = ParsedWords(task="eng", words=("I", "go"), heads=(2, 0), relations=("nsubj", "root"))
    rows = PARSING.encode(backbone, SUITE.tasks, [DOGS, last], TextOptions())
    assert rows[0].words == [1] * 5 + [2] * 4 + [3] * 2 + [0]  # "Dogs ", "eat ", "it", end
    batch = PARSING.collate(backbone, rows)
    assert batch.heads.tolist() == [[2, 0, 2], [2, 0, IGNORED]]
    assert batch.relations.tolist() == [[0, 2, 1], [0, 2, IGNORED]]
    assert batch.weights.tolist() == pytest.approx([3 / 5, 2 / 5])


def test_the_loss_of_a_parser_that_knows_nothing_by_hand() -> None:
    """Three heads and three relations for each word, as its own one is out: log 3 + log 3; one word has one head."""
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    single = ParsedWords(task="eng", words=("Go",), heads=(0,), relations=("root",))
    batch = PARSING.collate(model.backbone, rows_of(model, SUITE, [DOGS, single]).rows)
    with torch.no_grad(), mixing(model.inventory, model.router(batch.tasks)):
        for parameter in model.heads.parameters():
            parameter.zero_()
        three = torch.tensor(3.0).log().item()
        assert PARSING.loss(model, batch).tolist() == pytest.approx([2 * three, three])


def test_a_long_sentence_is_refused_or_cut_and_its_last_words_depend_on_those_before() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    with pytest.raises(InputError, match=r"1 of 1 examples are longer than text\.max_input=9 .*longest: 12"):
        PARSING.encode(model.backbone, SUITE.tasks, [DOGS], TextOptions(max_input=9))
    data = rows_of(model, SUITE, [DOGS], TextOptions(max_input=9, too_long="truncate"))
    (row,) = data.rows  # "Dogs " and the end; "eat " would be one token too many
    assert row.cut and len(row.first) == 1
    batch = PARSING.collate(model.backbone, data.rows)
    assert batch.heads.tolist() == [[IGNORED]]  # its head is not read
    (parse,) = predictions(model, data, GREEDY, 0)
    assert [head for head, _ in parse] == [0, 1, 2]


def test_trees_have_one_root_called_so_and_greedy_heads_are_the_best_of_each_word() -> None:
    model = tiny_model("tiny-encoder", [SUITE.tasks["eng"]])
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.heads.parameters():
            parameter.normal_(generator=draw)
    examples = [ParsedWords(task="eng", words=tuple("abcdef"[:n]), heads=(0, *[1] * (n - 1)),
                            relations=("root", *["obj"] * (n - 1))) for n in (6, 3, 5, 1)]  # fmt: skip
    data = rows_of(model, SUITE, examples)
    for parse, n in zip(predictions(model, data, EvaluationOptions(), 0), (6, 3, 5, 1), strict=True):
        assert tuple(head for head, _ in parse) in trees(n)
        assert all((relation == "root") == (head == 0) for head, relation in parse)
    batch = PARSING.collate(model.backbone, data.rows)
    with torch.no_grad(), mixing(model.inventory, model.router(batch.tasks)):
        ((_, _, _, arcs),) = PARSING._arcs(model, batch)
    greedy = predictions(model, data, GREEDY, 0)
    assert [head for head, _ in greedy[0]] == arcs[0].argmax(-1).tolist()
    assert greedy[1] == predictions(model, rows_of(model, SUITE, examples[1:2]), GREEDY, 0)[0]


def test_a_treebank_is_learned_scored_again_and_new_sentences_are_parsed(tmp_path: Path) -> None:
    row = "{}\t{}\t_\tX\t_\t_\t{}\t_\t_\n"
    text = "".join(
        row.format(1, noun, "2\tnsubj") + row.format(2, "eat", "0\troot") + row.format(3, other, "2\tobj") + "\n"
        for noun in ("dogs", "cats", "cows")
        for other in ("hay", "fish")
    )
    for split in ("train", "test"):
        (tmp_path / f"xx-ud-{split}.conllu").write_text(text)
    suite = ("suite=treebank", f"tasks.path={tmp_path}", "tasks.relations=[nsubj,obj,root]")
    tiny = ("backbone=tiny-encoder", "training.steps=16", "training.batch=6", "training.report_every=16",
            "training.lr=3e-2", "training.backbone_lr=5e-3", "modules.rank=2", "modules.sites=[ffn]",
            "routing.n_skills=2", "tasks.train_splits=[train]")  # fmt: skip
    out = tmp_path / "run"
    out.mkdir()
    metrics = train_alone(out, load_config(TrainingRecipe, overrides=[*tiny, *suite]))
    (name,) = metrics["tasks"]
    assert metrics["tasks"][name] == {"las": 1.0, "uas": 1.0, "las_noroot": 1.0, "uas_noroot": 1.0}
    recipe = load_config(ScoringRecipe, overrides=[*suite, f"skills={out / 'skills'}", "evaluation.tree=greedy"])
    scores = score_share(Share(recipe=recipe, out=out, tasks=(name,)))["scores"]
    assert scores[name]["las"] > 0.9
    (answer,) = predict(out / "skills", name, [{"words": ["cows", "eat", "fish"]}])
    assert answer == predict(out / "skills", name, ["cows eat fish"])[0] == [[2, "nsubj"], [0, "root"], [2, "obj"]]
