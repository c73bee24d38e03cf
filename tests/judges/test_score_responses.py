"""All scores of responses together: chosen metrics, snippets, intervals, differences."""

from collections.abc import Mapping

import numpy as np
import pytest
from judge_cases import save_classifier, save_encoder, save_reader, save_writer

from polyray.analysis.bootstrap import interval, resampled_scores
from polyray.config import load_config
from polyray.errors import InputError
from polyray.judges.bertscore import BertScore, BertScoreOptions
from polyray.judges.critic import load_critic
from polyray.judges.judge import bert_judges
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.responses import ResponseScorer, score_responses
from polyray.metrics.bleu import bleu
from polyray.tasks.dialogue import DialogueExample

ROWS = [  # response, accepted responses, knowledge
    ("The hotel has free wifi", ("it has free wifi in the lobby",), ("no pool", "the hotel has free wifi")),
    ("yes", ("yes it does", "no"), ("parking is free",)),
    ("the pool is in the lobby", ("the pool is not free",), ()),
    ("no it is not", ("no",), ("the pool is not in the lobby", "wifi is free")),
]
PREDICTIONS = [row[0] for row in ROWS]
EXAMPLES = [
    DialogueExample(task="t", history=(), knowledge=row[2], outputs=row[1], location=f"data:{n}")
    for n, row in enumerate(ROWS)
]
PLAIN = ["BLEU", "chrF", "rouge1", "rouge2", "rougeL", "Knowledge-F1", "Coverage", "Density", "LCS"]
OTHERS = ["BERTScore", "BERTScore-P", "BERTScore-R", "BERT-F1", "Critic", "Critic-P", "Q2", "Q2-F1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("judges")
    return {
        "bertscore.model": str(save_encoder(folder / "encoder")),
        "critic.model": str(save_classifier(folder / "critic", {0: "faithful", 1: "unfaithful"})),
        "q2.questions": str(save_writer(folder / "writer")),
        "q2.answers": str(save_reader(folder / "reader")),
        "q2.entailment": str(save_classifier(folder / "entailment")),
    }


def options(folders: Mapping[str, str] | None = None, *overrides: str) -> ScoreResponsesOptions:
    named = [f"{name}={folder}" for name, folder in (folders or {}).items()]
    more = ["critic.unfaithful=[unfaithful]", "q2.n_questions=2", "q2.max_question=8"] if len(named) > 1 else []
    return load_config(ScoreResponsesOptions, overrides=[*named, *more, "draws=50", *overrides])


def test_without_networks_each_response_and_all_of_them_have_the_metrics_that_need_none() -> None:
    scores = score_responses(PREDICTIONS, EXAMPLES, options())
    totals = scores.totals(options())
    assert list(totals) == PLAIN and scores.networks == {}
    each = scores.of_each()
    assert list(each[2]) == PLAIN[:5] and [list(row) for row in each[:2]] == [PLAIN, PLAIN]
    assert totals["Coverage"]["n"] == 3 and totals["Coverage"]["value"] == pytest.approx((4 / 5 + 0 + 2 / 4) / 3)

    def anew(indices: list[int]) -> float:
        return bleu([PREDICTIONS[i] for i in indices], [EXAMPLES[i].outputs for i in indices]).value

    low, high = interval(resampled_scores(anew, 4, 50, seed=0))  # type: ignore[arg-type]
    assert (totals["BLEU"]["low"], totals["BLEU"]["high"]) == pytest.approx((low, high))


def test_networks_add_their_metrics_and_their_fingerprints(folders: Mapping[str, str]) -> None:
    chosen = options(folders)
    scores = ResponseScorer(chosen)(PREDICTIONS, EXAMPLES)
    assert list(scores.measurements) == PLAIN + OTHERS
    assert set(scores.networks) == {"bertscore", "critic", "q2"}
    assert scores.networks["bertscore"]["layer"] == -1 and len(scores.networks["q2"]["answers"]["fingerprint"]) == 64
    scorer, critic = BertScore(chosen.bertscore), load_critic(chosen.critic)
    for row, (response, references, knowledge) in zip(scores.of_each(), ROWS, strict=True):
        best = max((scorer.scores([response], [text])[0] for text in references), key=lambda score: score[2])
        assert [row[name] for name in ("BERTScore-P", "BERTScore-R", "BERTScore")] == pytest.approx(best, abs=1e-5)
        assert ("BERT-F1" in row) == ("Q2" in row) == ("Critic" in row) == bool(knowledge)
        if knowledge:
            unfaithful = critic.probabilities([(text, response) for text in knowledge])[:, 1]
            assert row["Critic-P"] == pytest.approx(unfaithful.min(), abs=1e-5)
            assert row["Critic"] == float(all(unfaithful > 0.5))
            assert 0 <= row["Q2"] <= 1


def test_the_text_with_the_best_f1_counts_for_precision_and_recall_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        """Scores in which precision, recall and F1 are each highest for another reference."""

        def __init__(self, options: object) -> None:
            self.options, self.frozen = options, None

        def scores(self, candidates: list[str], references: list[str]) -> list[tuple[float, float, float]]:
            return [{"a": (0.9, 0.1, 0.2), "b": (0.6, 0.6, 0.6), "c": (0.1, 0.9, 0.2)}[text] for text in references]

    monkeypatch.setattr("polyray.judges.judge.BertScore", Fixed)
    judge, _ = bert_judges(ScoreResponsesOptions(bertscore=BertScoreOptions(model="x")))
    assert {name: x.value for name, x in judge.judge(["r"], [("a", "b", "c")]).items()} == {
        "BERTScore": 0.6, "BERTScore-P": 0.6, "BERTScore-R": 0.6,
    }  # fmt: skip


def test_chosen_metrics_come_alone_and_joined_snippets_are_one_text(folders: Mapping[str, str]) -> None:
    example = DialogueExample(task="t", history=(), knowledge=("the pool", "wifi"), outputs=("x",), location="data:1")
    best, joined = (
        score_responses(
            ["The pool wifi"], [example], options(None, "metrics=[LCS,chrF]", "case=false", f"snippets={how}")
        )
        for how in ("best", "joined")
    )
    assert {name: x.value for name, x in best.measurements.items()} == {"chrF": 0.0, "LCS": 2 / 3}
    assert {name: x.value for name, x in joined.measurements.items()} == {"chrF": 0.0, "LCS": 1.0}
    alone = options({"bertscore.model": folders["bertscore.model"]}, "metrics=[BERT-F1]")
    assert list(score_responses(PREDICTIONS, EXAMPLES, alone).measurements) == ["BERT-F1"]


def test_the_difference_of_two_systems_is_paired(folders: Mapping[str, str]) -> None:
    chosen = options(None, "metrics=[chrF,Knowledge-F1]")
    first = score_responses(PREDICTIONS, EXAMPLES, chosen)
    second = score_responses(["it has free wifi in the lobby", "yes", "", "no"], EXAMPLES, chosen)
    differences = second.minus(first, "randomisation", chosen)
    for name, difference in differences.items():
        assert difference.value == pytest.approx(second.measurements[name].value - first.measurements[name].value)
        assert difference.low <= difference.value <= difference.high and 0 < difference.p <= 1
    assert {difference.p for difference in first.minus(first, "bootstrap", chosen).values()} == {1.0}


def test_what_cannot_be_scored_is_refused(folders: Mapping[str, str]) -> None:
    for overrides, message in (
        (("metrics=[Bleu]",), "Did you mean 'BLEU'"),
        (("metrics=[Critic]",), r"Critic needs a network; set critic.model"),
        (("critic.unfaithful=[x]",), "critic.unfaithful .* model is empty"),
        ((f"q2.questions={folders['q2.questions']}",), r"q2 needs three networks: set q2.answers and q2.entailment"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            ResponseScorer(options(None, *overrides))
    bare = [DialogueExample(task="t", history=(), knowledge=(), outputs=("yes",), location="data:1")]
    with pytest.raises(InputError, match="Coverage compares responses with knowledge, and no example has any"):
        score_responses(["yes"], bare, options(None, "metrics=[Coverage]"))
    assert list(score_responses(["yes"], bare, options()).measurements) == PLAIN[:5]
    with pytest.raises(InputError, match="Found 2 responses for 1 examples"):
        score_responses(["yes", "no"], bare, options())
    assert not np.isnan(score_responses([""], bare, options()).measurements["BLEU"].value)
