"""Agreement of Polyray's metrics of responses with people: ratings of DSTC9 and DSTC11 systems, labels of BEGIN.

For each metric Spearman's correlation with the accuracy that people gave (is a response faithful to its knowledge, mean
of three raters from 1 to 5), over the responses of four systems to the same 200 turns and within each system; and for
BEGIN, Wizard of Wikipedia, the area under the ROC curve that tells fully attributable responses from those that are not
(generic ones are left out, and rows that are among those of dev, which a critic may be trained on). Intervals are 95 %
bootstrap intervals over turns or rows. The first row compares each rater with the mean of the others: how far people
agree. Metrics that read references stay away from BEGIN, which has none. The sign of Critic and Critic-P is turned for
the area: they are high for unfaithful responses.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import show
from polyray.analysis.bootstrap import interval
from polyray.analysis.ranks import Floats, area_under_roc, spearman
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.responses import ResponseScorer
from polyray.judges.systems import GroundedExample

SETS = {"dstc9": "dstc9/system_outputs/knowledge.json", "dstc11": "dstc11/knowledge.json"}
ATTRIBUTABLE, NOT_ATTRIBUTABLE = "Fully attributable", "Not fully attributable"
TURNED = ("Critic", "Critic-P")  # high where a response is unfaithful
Rows = list[dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print both tables."""
    options = _parser().parse_args(arguments)
    chosen = ScoreResponsesOptions.model_validate(
        {
            "metrics": options.metrics, "snippets": options.snippets, "bertscore": {"model": options.bertscore},
            "critic": {"model": options.critic, "unfaithful": options.unfaithful if options.critic else []},
        }
    )  # fmt: skip
    scorer = ResponseScorer(chosen)
    correlations = [row for name in options.sets for row in rated(options.data, name, scorer, options.draws)]
    if correlations:
        show("Spearman's correlation with people's accuracy", correlations, options.json)
    show("Area under the ROC curve, BEGIN", labelled(options.data, scorer, options.rows, options.draws), options.json)


def rated(data: Path, name: str, scorer: ResponseScorer, n_draws: int) -> Rows:
    """Each metric's correlation with the ratings of a set, over all systems and within each; first that of a rater."""
    folder = data / name / "system_outputs"
    examples = rated_examples(folder, data / SETS[name])
    systems = sorted(file.name.removesuffix(".human_eval.json") for file in folder.glob("*.human_eval.json"))
    ratings = np.asarray(
        [[row["accuracy"] for row in read(folder / f"{system}.human_eval.json")] for system in systems],
        dtype=np.float64,
    )  # [systems, turns, raters]
    values = dict[str, list[Floats]]()
    for system in systems:
        responses = [row["response"] for row in read(folder / f"{system}.json")]
        for metric, measured in scorer(responses, examples).measurements.items():
            values.setdefault(metric, []).append(measured.values)
    people = ratings.mean(axis=-1)
    pairs = {metric: [(np.stack(of_systems), people)] for metric, of_systems in values.items()}
    raters = range(ratings.shape[-1])
    others = [(ratings[..., rater], np.delete(ratings, rater, axis=-1).mean(axis=-1)) for rater in raters]
    return [
        {"set": name, "metric": metric, **correlation(compared, n_draws)}
        for metric, compared in {"one rater, with the others": others, **pairs}.items()
    ]


def correlation(compared: Sequence[tuple[Floats, Floats]], n_draws: int) -> dict[str, float]:
    """Spearman's correlation of values and ratings [S, N], over all S systems and within each, mean over pairs.

    The bounds are over turns drawn again, each with all of its systems.
    """
    n = compared[0][0].shape[1]
    turns = np.random.default_rng([0, n]).integers(0, n, (n_draws, n))  # [D, N]
    drawn = [
        spearman(*(x[:, turns].transpose(1, 0, 2).reshape(n_draws, -1) for x in pair))  # of [D, S * N]
        for pair in compared
    ]
    low, high = interval(np.mean(drawn, axis=0).tolist())
    pooled = np.mean([spearman(left.ravel(), right.ravel()) for left, right in compared])
    each = np.mean([spearman(*pair) for pair in compared], axis=0)  # [S]
    by_system = {f"system {number}": float(value) for number, value in enumerate(each, start=1)}
    return {"all": float(pooled), "low": low, "high": high, **by_system}


def labelled(data: Path, scorer: ResponseScorer, n_rows: int, n_draws: int) -> Rows:
    """Each metric's area under the ROC curve on BEGIN's test rows, drawn with seed 0 where not all are taken."""
    dev = {(row["knowledge"], row["response"]) for row in begin(data, "dev")}
    rows = [
        row
        for row in begin(data, "test")
        if row["begin_label"] in (ATTRIBUTABLE, NOT_ATTRIBUTABLE) and (row["knowledge"], row["response"]) not in dev
    ]
    if n_rows:
        chosen = np.random.default_rng(0).choice(len(rows), size=n_rows, replace=False)
        rows = [rows[index] for index in sorted(chosen.tolist())]
    examples = [GroundedExample(outputs=(), knowledge=(row["knowledge"],), location="") for row in rows]
    positive = np.asarray([row["begin_label"] == ATTRIBUTABLE for row in rows])
    draws = np.random.default_rng([0, len(rows)]).integers(0, len(rows), (n_draws, len(rows)))
    figures = []
    for metric, measured in scorer([row["response"] for row in rows], examples).measurements.items():
        values = -measured.values if metric in TURNED else measured.values
        low, high = interval(area_under_roc(values[draws], positive[draws]).tolist())
        area = float(area_under_roc(values, positive))
        figures.append(
            {
                "metric": metric,
                "area": area,
                "low": low,
                "high": high,
                "n": len(rows),
                "attributable": int(positive.sum()),
            }
        )
    return figures


def begin(data: Path, split: str) -> list[dict[str, str]]:
    """The rows of a split of BEGIN's part on Wizard of Wikipedia."""
    with (data / "begin_wow" / f"begin_{split}_wow.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def rated_examples(folder: Path, knowledge_file: Path) -> list[GroundedExample]:
    """The turns of a set, with the texts of the knowledge that their labels name."""
    knowledge = read(knowledge_file)
    return [
        GroundedExample(
            outputs=(label["response"],), knowledge=tuple(snippet(knowledge, one) for one in label["knowledge"]),
            location=f"{folder.parent.name}, turn {number}",
        )
        for number, label in enumerate(read(folder / "labels.json"), start=1)
    ]  # fmt: skip


def snippet(knowledge: Any, reference: dict[str, Any]) -> str:
    """The text of one reference: a question with its answer, or a sentence of a review."""
    entity, document = knowledge[reference["domain"]][str(reference["entity_id"])], str(reference["doc_id"])
    if reference.get("doc_type") == "review":
        return str(entity["reviews"][document]["sentences"][str(reference["sent_id"])])
    if reference.get("doc_type") == "faq":
        return "Q: {question} A: {answer}".format(**entity["faqs"][document])
    return "Q: {title}, A: {body}".format(**entity["docs"][document])


def read(file: Path) -> Any:
    """The JSON of a file."""
    return json.loads(file.read_text(encoding="utf-8"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with dstc9, dstc11 and begin_wow")
    parser.add_argument(
        "--sets", nargs="*", choices=tuple(SETS), default=tuple(SETS), help="rated sets; none: BEGIN alone"
    )
    parser.add_argument("--metrics", nargs="*", default=[], help="metrics by name; none: all")
    parser.add_argument("--bertscore", default="", help="folder of an encoder of transformers")
    parser.add_argument("--critic", default="", help="folder of a critic")
    parser.add_argument("--unfaithful", nargs="*", default=["unfaithful"], help="labels of the critic")
    parser.add_argument("--snippets", choices=("best", "joined"), default="best")
    parser.add_argument("--rows", type=int, default=0, help="rows of BEGIN, drawn with seed 0; 0: all")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    main()
