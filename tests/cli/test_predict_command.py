"""`polyray predict`: texts or a file of them, one line or one JSON object for each, and nothing written by halves."""

import json
from pathlib import Path

import pytest
from prediction_cases import saved

from polyray.cli.app import main
from polyray.training.prediction import predict

SKIES = ["the sky at noon", "x = 3", "fresh snow"]


def code(*arguments: str) -> int:
    """The exit code of `polyray predict ARGUMENTS`."""
    with pytest.raises(SystemExit) as caught:
        main(("predict", *arguments))
    return int(caught.value.code or 0)


def test_texts_and_files_are_answered_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(Path("skills"), "tiny-encoder", "colour{1}", "own")
    (colours,) = [predict("skills", "colour{1}", SKIES)]
    field = ("skills=skills", "task=colour{1}")
    assert code(*field, *SKIES, "evaluation.batch=2") == 0
    assert capsys.readouterr().out.splitlines() == colours
    assert code(*field, "--json", *SKIES) == 0
    expected = [{"input": sky, "prediction": colour} for sky, colour in zip(SKIES, colours, strict=True)]
    assert json.loads(capsys.readouterr().out)["predictions"] == expected

    Path("in.txt").write_text("\n".join([*SKIES, "", ""]), encoding="utf-8")
    assert code(*field, "inputs=in.txt") == 0
    assert capsys.readouterr().out.splitlines() == colours
    lines = [json.dumps({"id": n, "input": sky, "output": "red"}) + "\n" for n, sky in enumerate(SKIES)]
    Path("in.jsonl").write_text("".join(lines), encoding="utf-8")
    assert code(*field, "inputs=in.jsonl", "out=out.jsonl") == 0
    assert capsys.readouterr().out == "3 predictions are in out.jsonl.\n"
    written = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert written == [{"id": n, "output": "red", **fields} for n, fields in enumerate(expected)]
    assert code(*field, "x" * 600, "text.too_long=truncate") == 0
    assert "1 of 1 inputs are longer than the limits and were cut" in capsys.readouterr().err


def test_wrong_input_has_one_message_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(Path("run/skills"), "tiny-encoder", "colour{1}", "own")
    Path("gap.txt").write_text("a\n\nb\n")
    Path("bad.jsonl").write_text('{"input": "a"}\n{"input": \n')
    Path("own.jsonl").write_text('{"input": "a", "choices": ["a", "b"]}\n{"input": "b"}\n')
    Path("table.csv").write_text("a,b\n")
    skills, task = "skills=run/skills", "task=colour{1}"
    before = sorted(tmp_path.rglob("*"))
    for arguments, message in [
        ([task, "a"], "predict needs skills=FOLDER"),
        ([skills, task], "predict needs texts, or inputs=FILE"),
        ([skills, task, "a", "inputs=gap.txt"], "not both"),
        (
            ["skills=run", task, "a"],
            "run holds no skills: expected RUN/skills, or the folder of one skill. Did you mean",
        ),
        (["skills=none", task, "a"], "none holds no skills"),
        ([skills, "task=color", "a"], "Did you mean 'colour{1}'?"),
        ([skills, "taks=own", "a"], "No field is called 'taks' (command line, 'taks=own'). Did you mean 'task'?"),
        ([skills, task, "evaluation.beam=3", "a"], "Did you mean 'evaluation.beams'?"),
        ([skills, task, "evaluation.max_examples=3", "a"], "every input is answered"),
        ([skills, task, "form.metric=ACC", "a"], "has the form of the task 'colour{1}' itself"),
        ([skills, task, "inputs=gap.txt", "out=o.jsonl"], "gap.txt:2: the line is blank"),
        ([skills, task, "inputs=bad.jsonl", "out=o.jsonl"], "bad.jsonl:2: not valid JSON"),
        ([skills, "task=own", "inputs=own.jsonl", "out=o.jsonl"], "own.jsonl:2: inputs of the task 'own' bring"),
        ([skills, task, "inputs=table.csv"], "must be a file of JSON lines (.jsonl) or of one text a line (.txt)"),
        ([skills, task, "inputs=none.txt"], "Cannot read none.txt"),
        ([skills, task, "inputs=own.jsonl", "out=gap.txt"], "out=gap.txt is there already"),
        ([skills, task, "inputs=own.jsonl", "out=no/o.jsonl"], "no is no folder that can be written to"),
    ]:
        assert code(*arguments) == 2
        streams = capsys.readouterr()
        assert message in streams.err and streams.out == "" and len(streams.err.splitlines()) == 1, streams.err
    assert sorted(tmp_path.rglob("*")) == before
