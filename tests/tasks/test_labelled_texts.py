"""Texts with labels as TSV and JSON lines; what is wrong is named by file and line."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from gathering import for_cases

from polyray.errors import InputError
from polyray.tasks import Suite, TasksOptions, load_suite

HEADER = "id\tlanguage\tpremise\thypothesis\tlabel"


def load(folder: Path, **fields: object) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": "classification", "path": str(folder), **fields}))


def write_table(file: Path, *rows: str, header: str = HEADER) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def write_objects(file: Path, *rows: Mapping[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_tables_in_folders_of_splits_and_json_lines_in_folders_of_tasks_are_read_as_they_are(tmp_path: Path) -> None:
    write_table(tmp_path / "nli/dev/aym.tsv", '1\taym\t"Ukat\tJani"\tneutral', "2\taym\t \tblank premise\tentailment")
    write_table(tmp_path / "nli/test/aym.tsv", "3\taym\ta\tb\tcontradiction")
    row = {"id": "x", "premise": "A b.", "hypothesis": "C d.", "label1": "c"}
    write_objects(tmp_path / "base_wiki/train.jsonl", *({**row, "label": label} for label in "enc"))
    write_objects(tmp_path / "base_wiki/test.jsonl", {**row, "label": "n"})
    suite = load(tmp_path, relabel={"e": "entailment", "n": "neutral", "c": "contradiction"})
    assert list(suite.tasks) == ["base_wiki", "nli-aym"]
    assert {task.labels for task in suite.tasks.values()} == {("contradiction", "entailment", "neutral")}
    first, blank = suite.tasks["nli-aym"].examples("dev")
    assert (first.texts, first.label) == (('"Ukat', 'Jani"'), "neutral")
    assert blank.texts == (" ", "blank premise") and blank.line == " \tblank premise\tentailment"
    assert suite.tasks["base_wiki"].examples("test")[0].label == "neutral"
    assert suite.tasks["nli-aym"].prompt == "{premise} {hypothesis}"
    assert suite.tasks["nli-aym"].category == "pairs" and suite.tasks["nli-aym"].metric == "Label-ACC"


def test_fields_labels_and_metric_can_be_chosen_and_labels_may_be_numbers(tmp_path: Path) -> None:
    rows = [{"sentence": f"film {n}", "stars": n % 2} for n in range(20)]
    write_objects(tmp_path / "mood/train.jsonl", *rows, *rows[8:10])
    task = load(tmp_path, texts=["sentence"], label="stars", metric="Label-F1", labels=["2", "1", "0"]).tasks["mood"]
    assert (task.labels, task.metric, task.category) == (("0", "1", "2"), "Label-F1", "texts")
    # no dev or test file: the ninth and tenth of ten different texts, with their repeats
    texts = {split: [x.texts[0] for x in task.examples(split)] for split in ("train", "dev", "test")}
    assert texts["dev"] == ["film 8", "film 18", "film 8"] and texts["test"] == ["film 9", "film 19", "film 9"]
    assert len(texts["train"]) == 16


def wrong(rows: list[str], message: str, header: str = HEADER, **fields: object) -> dict[str, object]:
    return {"rows": rows, "message": message, "header": header, "fields": fields}


@for_cases(
    [
        wrong(["1\tx\ta\tb"], r"dev\.tsv:2: expected 5 columns divided by tabs, as in the header, found 4: '1"),
        wrong(["1\tx\ta\tb\tno\tz"], r"dev\.tsv:2: expected 5 columns .* found 6"),
        wrong(
            ["1\tx\ta\tb\tyes", "2\tx\ta\tb\tmaybe"], r"dev\.tsv:3: 'maybe' is not a label of 'one', no training exam"
        ),
        wrong(
            ["1\tx\ta\tb\tyes"], r"'yes' is not a label of 'one', whose labels tasks\.labels", labels=["no", "maybe"]
        ),
        wrong(["1\tx\ta\tb\t "], r"dev\.tsv:2: the label is empty"),
        wrong(["1\tx\t \t \tyes"], r"dev\.tsv:2: nothing to read: premise and hypothesis are blank"),
        wrong(["1\tx\ta\tb\tyes"], r"dev\.tsv:2: no field is called 'premis' .*mean 'premise'", texts=["premis", "id"]),
        wrong(["1\tx\ta\tb\tyes"], r"dev\.tsv:2: no field is called 'gold' \(tasks\.label\)", label="gold"),
        wrong(["a\ta"], r"dev\.tsv:1: two columns have the same name: 'a, a'", header="a\ta"),
        wrong([], r"dev\.tsv holds no example"),
    ]
)
def test_a_table_that_is_wrong_is_refused(
    tmp_path: Path, rows: list[str], message: str, header: str, fields: dict[str, object]
) -> None:
    write_table(tmp_path / "one/train.tsv", "1\tx\ta\tb\tno", "1\tx\ta\tb\tyes")
    write_table(tmp_path / "one/dev.tsv", *rows, header=header)
    with pytest.raises(InputError, match=message):
        load(tmp_path, **fields)


@for_cases(
    [
        {"line": "", "message": r"train\.jsonl:2: the line is blank"},
        {"line": "[]", "message": r"train\.jsonl:2: "},
        {
            "line": '{"premise": 3, "hypothesis": "b", "label": "e"}',
            "message": r"jsonl:2: expected .*'premise'.*found 3",
        },
        {"line": '{"premise": "a", "hypothesis": "b", "label": true}', "message": r"jsonl:2: expected .*'label'.*True"},
        {"line": '{"premise": "a", "hypothesis": "b"}', "message": r"jsonl:2: no field is called 'label'"},
    ]
)
def test_json_lines_that_are_wrong_are_refused(tmp_path: Path, line: str, message: str) -> None:
    good = '{"premise": "a", "hypothesis": "b", "label": "e"}\n'
    (tmp_path / "one").mkdir(exist_ok=True)
    (tmp_path / "one/train.jsonl").write_text(f"{good}{line}\n{good}")
    with pytest.raises(InputError, match=message):
        load(tmp_path)


def test_a_folder_without_tasks_and_fields_that_fit_no_prompt_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no task; expected files such as TASK/train\.tsv"):
        load(tmp_path)
    for texts, message in ((["a", "a"], "one field or two different"), ([], "found 0"), (["a.b"], "stand in a prompt")):
        with pytest.raises(ValueError, match=message):
            load(tmp_path, texts=texts)
