"""Responses of several systems, scored and compared from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from in_process import run_here
from judge_cases import save_classifier, save_encoder

from polyray.config import load_config
from polyray.errors import InputError, Interrupted
from polyray.judges.bertscore import BertScore
from polyray.judges.options import ScoreResponsesOptions
from polyray.judges.responses import score_responses
from polyray.judges.systems import ResponseFields, read_systems
from polyray.reports.page import Table
from polyray.reports.report import write_report
from polyray.reports.sections.responses import section
from polyray.runs.job import Result

ROWS: list[dict[str, Any]] = [
    {"outputs": ["free wifi in the lobby"], "knowledge": ["wifi is free", "no pool"]},
    {"outputs": "yes, it does", "knowledge": "parking is free"},
    {"outputs": ["the pool is closed"]},
]
RESPONSES = {
    "plain": ["wifi is free", "yes, it does", "no"],
    "better": ["free wifi in the lobby", "yes, it does", "no"],
}
PLAIN = ["metrics=[BLEU,Knowledge-F1,Coverage]", "draws=40"]


def write(folder: Path, name: str, lines: list[dict[str, Any]]) -> Path:
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def run(out: Path, *overrides: str) -> Result:
    return run_here("score_responses", out, *overrides)


def test_systems_are_scored_one_by_one_and_compared_pair_by_pair(tmp_path: Path) -> None:
    files = {
        name: write(tmp_path, name, [{**row, "prediction": text} for row, text in zip(ROWS, texts, strict=True)])
        for name, texts in (RESPONSES | {"third": ["", "no", "the pool"]}).items()
    }
    systems = "systems={" + ", ".join(f"{name}: {file}" for name, file in files.items()) + "}"
    result = run(tmp_path / "run", systems, *PLAIN)
    options = load_config(ScoreResponsesOptions, overrides=PLAIN)
    predictions, examples = read_systems({name: str(file) for name, file in files.items()}, "", ResponseFields())
    expected = {name: score_responses(texts, examples, options) for name, texts in predictions.items()}
    assert result.metrics["responses"] == {name: scores.totals(options) for name, scores in expected.items()}
    assert result.metrics["responses"]["plain"]["Coverage"]["n"] == 2
    pairs = [(row["first"], row["second"], row["metric"]) for row in result.metrics["comparisons"]]
    assert len(pairs) == 9 and pairs[0] == ("plain", "better", "BLEU")
    for row in result.metrics["comparisons"]:
        assert row["p"] <= row["p_holm"] <= 3 * row["p"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "scores" / "better.jsonl").read_text().splitlines()]
    assert [line["scores"] for line in lines] == expected["better"].of_each()
    assert lines[1]["knowledge"] == ["parking is free"] and list(lines[2]["scores"]) == ["BLEU"]
    page = section(tmp_path / "run")
    assert page is not None
    scores, differences = page.blocks
    assert isinstance(scores, Table) and isinstance(differences, Table)
    assert list(scores.header) == ["metric", "plain", "better", "third"] and len(differences.rows) == 9
    write_report(tmp_path / "run")
    assert "Scores of responses" in (tmp_path / "run" / "report.html").read_text()
    again = run(tmp_path / "again", systems, *PLAIN)
    assert again.metrics == result.metrics


def test_a_scoring_that_goes_on_asks_networks_for_the_rest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**row, "knowledge": row.get("knowledge", "the pool is closed")} for row in ROWS]
    files = {
        name: write(tmp_path, name, [{**row, "prediction": text} for row, text in zip(rows, texts, strict=True)])
        for name, texts in RESPONSES.items()
    }
    networks = [
        "systems={" + ", ".join(f"{name}: {file}" for name, file in files.items()) + "}", "draws=10",
        f"bertscore.model={save_encoder(tmp_path / 'encoder')}", "bertscore.max_length=4",
        f"critic.model={save_classifier(tmp_path / 'critic')}", "critic.unfaithful=[neutral]", "critic.max_length=8",
    ]  # fmt: skip
    whole = run(tmp_path / "whole", *networks)
    assert whole.metrics["networks"]["bertscore"]["cut"] > 0 and whole.metrics["networks"]["critic"]["cut"] > 0
    asked: list[int] = []
    scores = BertScore.scores

    def counted(scorer: BertScore, candidates: Any, references: Any) -> Any:
        asked.append(len(candidates))
        if len(asked) == stop_at:
            raise Interrupted("as asked")
        return scores(scorer, candidates, references)

    monkeypatch.setattr(BertScore, "scores", counted)
    stop_at = 4  # against references and knowledge, for each of two systems
    with pytest.raises(Interrupted):
        run(tmp_path / "run", *networks)
    stop_at = 0
    assert run(tmp_path / "run", *networks).metrics == whole.metrics and len(asked) == 4 + 1
    for path in (tmp_path / "whole" / "scores").iterdir():
        assert path.read_bytes() == (tmp_path / "run" / "scores" / path.name).read_bytes()

    judgements = sorted((tmp_path / "run" / "judgements").iterdir())
    assert len(judgements) == 2 * 3
    judgements[0].write_text("{}")
    (tmp_path / "run" / "result.json").unlink()
    assert run(tmp_path / "run", *networks).metrics == whole.metrics
    assert judgements[0].read_bytes() == (tmp_path / "whole" / "judgements" / judgements[0].name).read_bytes()


def test_references_may_stand_in_a_file_of_their_own_under_other_names(tmp_path: Path) -> None:
    truths = write(tmp_path, "truths", [{"gold": row["outputs"], "facts": row.get("knowledge", [])} for row in ROWS])
    system = write(tmp_path, "system", [{"text": text} for text in RESPONSES["plain"]])
    result = run(
        tmp_path / "run", f"systems={{one: {system}}}", f"examples={truths}", "fields.prediction=text",
        "fields.references=gold", "fields.knowledge=facts", *PLAIN,
    )  # fmt: skip
    assert result.metrics["comparisons"] == [] and result.metrics["responses"]["one"]["Knowledge-F1"]["n"] == 2
    page = section(tmp_path / "run")
    assert page is not None and len(page.blocks) == 1


def test_what_cannot_be_compared_is_refused_with_file_and_line(tmp_path: Path) -> None:
    lines = [{**row, "prediction": "x"} for row in ROWS]
    good = write(tmp_path, "good", lines)
    bad: dict[str, tuple[list[dict[str, Any]], str]] = {
        "short": (lines[:2], "other: found 2 lines, where good has 3"),
        "unlike": ([lines[0], {**lines[1], "outputs": ["no"]}, lines[2]], r"unlike.jsonl:2: outputs are not those of"),
        "nameless": ([{"predicton": "x"}] * 3, r"nameless.jsonl:1: no field is called 'prediction' .*'predicton'"),
        "number": ([{**lines[0], "prediction": 3}] * 3, r"number.jsonl:1: expected the field 'prediction' with a text"),
        "listed": ([{**lines[0], "knowledge": [1]}] * 3, r"listed.jsonl:1: expected the field 'knowledge' with a"),
    }  # fmt: skip
    for name, (rows, message) in bad.items():
        file = write(tmp_path, name, rows)
        with pytest.raises(InputError, match=message):
            run(tmp_path / "run", f"systems={{good: {good}, other: {file}}}", *PLAIN)
    with pytest.raises(InputError, match="systems=.NAME: FILE.jsonl"):
        run(tmp_path / "run")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="empty.jsonl is empty"):
        run(tmp_path / "run", f"systems={{good: {tmp_path / 'empty.jsonl'}}}")
