"""The benchmark of metrics of responses on a few made-up rows."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.response_metrics import correlation, labelled, rated
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.responses import ResponseScorer

SCORER = ResponseScorer(ScoreResponsesOptions(metrics=("Coverage",)))


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def test_ratings_are_compared_with_the_knowledge_that_labels_name(tmp_path: Path) -> None:
    folder = tmp_path / "dstc11" / "system_outputs"
    review = {"domain": "hotel", "entity_id": 7, "doc_type": "review", "doc_id": 0, "sent_id": 1}
    faq = {"domain": "hotel", "entity_id": 7, "doc_type": "faq", "doc_id": 3}
    entity = {
        "reviews": {"0": {"sentences": {"1": "great pool"}}}, "faqs": {"3": {"question": "wifi ?", "answer": "free"}},
    }  # fmt: skip
    write(tmp_path / "dstc11" / "knowledge.json", {"hotel": {"7": entity}})
    write(
        folder / "labels.json",
        [{"response": "x", "knowledge": [review]}, {"response": "y", "knowledge": [review, faq]}],
    )
    for system, responses, accuracy in (
        ("a", ["great", "no"], [[5, 4], [1, 1]]),
        ("b", ["bad pool", "free"], [[2, 4], [3, 1]]),
    ):
        write(folder / f"{system}.json", [{"response": response} for response in responses])
        write(folder / f"{system}.human_eval.json", [{"accuracy": ratings} for ratings in accuracy])
    people, row = rated(tmp_path, "dstc11", SCORER, n_draws=20)
    # coverage 1 0 1/2 1 with ratings 4.5 1 3 2: ranks 3.5 1 2 3.5 and 4 1 3 2
    left, right = np.asarray([3.5, 1, 2, 3.5]) - 2.5, np.asarray([4, 1, 3, 2]) - 2.5
    expected = left @ right / np.sqrt(left @ left * (right @ right))
    assert row["all"] == pytest.approx(expected) and row["system 1"] == 1.0 and row["system 2"] == -1.0
    # raters 5 1 2 3 and 4 1 4 1: ranks 4 1 2 3 and 3.5 1.5 3.5 1.5; both are compared with the other alone
    left, right = np.asarray([4, 1, 2, 3]) - 2.5, np.asarray([3.5, 1.5, 3.5, 1.5]) - 2.5
    assert people["all"] == pytest.approx(left @ right / np.sqrt(left @ left * (right @ right)))


def test_the_interval_draws_turns_with_all_their_systems() -> None:
    # systems disagree in every turn alike: whatever turns are drawn, two values and two ratings stay in order
    values, people = np.asarray([[1.0] * 5, [0.0] * 5]), np.asarray([[4.0] * 5, [2.0] * 5])
    assert correlation([(values, people)], 30) == pytest.approx(
        {"all": 1.0, "low": 1.0, "high": 1.0, "system 1": 0.0, "system 2": 0.0}
    )


def test_rows_of_dev_and_generic_ones_are_left_out(tmp_path: Path) -> None:
    header = "model_name\tdata_source\tknowledge\tmessage\tresponse\tbegin_label\n"
    rows = [
        ("the pool", "the pool", "Fully attributable"), ("the pool", "the bar", "Not fully attributable"),
        ("a bar", "a pool", "Fully attributable"), ("no", "yes", "Generic"), ("is", "is", "Not fully attributable"),
    ]  # fmt: skip
    lines = [f"m\twow\t{knowledge}\t.\t{response}\t{label}\n" for knowledge, response, label in rows]
    write(tmp_path / "begin_wow" / "begin_test_wow.tsv", header + "".join(lines))
    write(tmp_path / "begin_wow" / "begin_dev_wow.tsv", header + lines[-1])
    (row,) = labelled(tmp_path, SCORER, 0, n_draws=10)
    # coverage 1 and 1/2 of attributable rows, 1/2 of the other: one pair in order, one tie
    assert (row["area"], row["n"], row["attributable"]) == (0.75, 3, 2)
