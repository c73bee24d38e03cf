"""BERTScore against its definition, one pair of texts and one pair of tokens at a time."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from judge_cases import save_encoder
from transformers import AutoModel, AutoTokenizer

from polyray.errors import InputError
from polyray.judges.bertscore import BertScore, BertScoreOptions, greedy_matching

CANDIDATES = ["the hotel has free wifi", "no parking", "it is in the lobby . yes it does", "", "pool", "pool"]
REFERENCES = ["yes the room has wifi", "the hotel has parking", "the pool is in the lobby", "pool", "pool", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@cache
def loaded(folder: Path) -> tuple[Any, Any]:
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def by_hand(folder: Path, candidate: str, reference: str, layer: int, idf: dict[int, float] | None) -> list[float]:
    """Precision, recall and F1 in Python's own numbers."""
    network, tokenizer = loaded(folder)
    sides = []
    for text in (candidate, reference):
        ids = tokenizer(text)["input_ids"]
        with torch.no_grad():
            hidden = network(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].double()
        weights = [0.0 if token in (2, 3) else 1.0 if idf is None else idf.get(token, math.log(7)) for token in ids]
        sides.append((hidden, weights))
    (left, left_weights), (right, right_weights) = sides
    if not sum(left_weights) or not sum(right_weights):
        return [0.0, 0.0, 0.0]

    def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a * b).sum() / (a * a).sum().sqrt() / (b * b).sum().sqrt())

    nearest = [max(cosine(a, b) for b in right) for a in left], [max(cosine(a, b) for a in left) for b in right]
    precision, recall = (
        sum(weight * best for weight, best in zip(weights, of_side, strict=True)) / sum(weights)
        for weights, of_side in zip((left_weights, right_weights), nearest, strict=True)
    )
    return [precision, recall, 2 * precision * recall / (precision + recall)]


@pytest.mark.parametrize(("layer", "idf"), [(-1, False), (1, True), (0, False)])
def test_scores_equal_those_of_single_tokens_of_single_texts(folder: Path, layer: int, idf: bool) -> None:
    scorer = BertScore(BertScoreOptions(model=str(folder), layer=layer, idf=idf, batch=4))
    tokens = [set(AutoTokenizer.from_pretrained(folder)(text)["input_ids"]) for text in REFERENCES]
    counts = {token: sum(token in some for some in tokens) for token in range(40)}
    weights = {token: math.log(7 / (count + 1)) for token, count in counts.items()} if idf else None
    expected = [by_hand(folder, *pair, layer, weights) for pair in zip(CANDIDATES, REFERENCES, strict=True)]
    scores = scorer.scores(CANDIDATES, REFERENCES)
    for score, slow in zip(scores, expected, strict=True):
        assert score == pytest.approx(slow, abs=1e-5)
    assert scores[3:5] == [pytest.approx(score, abs=1e-5) for score in ((0, 0, 0), (1, 1, 1))]


def test_a_score_does_not_depend_on_the_texts_beside_it_and_cut_texts_are_counted(folder: Path) -> None:
    scorer = BertScore(BertScoreOptions(model=str(folder), max_length=8))
    together = scorer.scores(CANDIDATES, REFERENCES)
    assert scorer.frozen.n_cut == 1 and len(scorer.frozen.record["fingerprint"]) == 64
    alone = [scorer.scores([a], [b])[0] for a, b in zip(CANDIDATES, REFERENCES, strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_greedy_matching_by_hand() -> None:
    # cosines of the candidate's two tokens with three: 1 0 .6, 0 1 .8; weights 1 3 and 2 1 1
    candidate = torch.eye(2)
    reference = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    score = greedy_matching(candidate, reference, torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0, 1.0]))
    assert score == pytest.approx((1.0, (2 + 1 + 0.8) / 4, 2 * 0.95 / 1.95))
    assert greedy_matching(-candidate, candidate[:1], torch.ones(2), torch.ones(1))[0] == pytest.approx(-0.5)
    assert greedy_matching(candidate, reference, torch.zeros(2), torch.ones(3)) == (0, 0, 0)


def test_what_is_no_folder_of_an_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bertscore.model=roberta-large: expected a folder .* nothing is downloaded"):
        BertScore(BertScoreOptions(model="roberta-large"))
    with pytest.raises(InputError, match="bertscore.layer=3: .* has 2 layers"):
        BertScore(BertScoreOptions(model=str(folder), layer=3))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="the network cannot be loaded"):
        BertScore(BertScoreOptions(model=str(tmp_path)))
