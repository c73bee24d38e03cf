"""The command line: exit codes, messages, and what goes to which stream."""

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import torch
import yaml

from polyray import __version__
from polyray.cli.app import TABLES, main
from polyray.config import Section, load_config
from polyray.jobs.table import JOBS
from polyray.runs.job import Job, Result
from polyray.runs.run import Run
from polyray.skills.card import BackboneCard, Card
from polyray.skills.skill import Skill, save_skill


class Config(Section):
    steps: int = 3
    """Steps to make."""


def work(config: Config, run: Run) -> Result:
    print("a library's chatter")
    if config.steps == 13:
        raise ZeroDivisionError("bad luck")
    if config.steps == 99:
        raise KeyboardInterrupt
    run.console.print("progress")
    return Result(metrics={"mean": config.steps / 10})


@pytest.fixture(autouse=True)
def fake_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(JOBS, "counting", Job(about="Counts.", Config=Config, run=work))
    monkeypatch.chdir(tmp_path)


def code(*arguments: str) -> int:
    """The exit code of `polyray ARGUMENTS`."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def test_a_run_that_is_done_exits_with_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert code("run", "counting", "--out", "here", "steps=4") == 0
    assert load_config(Config, tmp_path / "here" / "config.yaml").steps == 4
    assert "progress" in capsys.readouterr().out


def test_every_start_leaves_its_time_and_its_command(tmp_path: Path) -> None:
    arguments = ("run", "counting", "steps=99", "--out", "a b")
    assert code(*arguments) == 130 and code(*arguments) == 130
    starts = [json.loads(line) for line in (tmp_path / "a b" / "starts.jsonl").read_text().splitlines()]
    assert [start["command"] for start in starts] == ["polyray run counting steps=99 --out 'a b'"] * 2
    assert all(datetime.fromisoformat(start["time"]).tzinfo for start in starts)


def test_the_default_folder_is_named_after_the_job(tmp_path: Path) -> None:
    assert code("run", "counting") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("counting-")


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert code("run", "counting", "--out", "here", "--json") == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["metrics"] == {"mean": 0.3}
    assert "progress" in streams.err
    assert "chatter" in streams.err


def test_a_finished_run_gives_its_json_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert code("run", "counting", "--out", "here") == 0
    capsys.readouterr()
    assert code("run", "counting", "--out", "here", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "done"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "countin"), "No job is called 'countin'. Did you mean 'counting'?"),
        (("rnu", "counting"), "Did you mean 'run'?"),
        (("run", "counting", "step=4"), "No field is called 'step' (command line, 'step=4'). Did you mean 'steps'?"),
        (("run", "counting", "steps=many"), "steps = 'many'"),
        (("run", "counting", "steps"), "section.key=value"),
        (("run", "counting", "--config", "none.yaml"), "Cannot read none.yaml"),
        (("run", "counting", "--ot", "here"), "No such option: --ot"),
        (("run",), "Missing argument"),
        (("list", "job"), "No table is called 'job'. Did you mean 'jobs'?"),
        (("skills", "lst", "here"), "Did you mean 'list'?"),
        (("skills", "list", "here"), "here holds no skills"),
        (("skills", "verify", "here"), "here holds no skills"),
        (("skills", "show", "here"), "here holds no skill"),
        (("describe", "countin"), "Did you mean 'counting'?"),
    ],
)
def test_wrong_input_exits_with_2_and_writes_nothing(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert code(*arguments) == 2
    streams = capsys.readouterr()
    assert message in " ".join(streams.err.replace("│", " ").split())
    assert "Traceback" not in streams.err
    assert streams.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_exits_with_1_and_names_the_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert code("run", "counting", "--out", "here", "steps=13") == 1
    errors = capsys.readouterr().err
    assert "bad luck" in errors
    assert "here/log.txt" in errors
    assert "Traceback" not in errors
    assert "Traceback" in (tmp_path / "here" / "log.txt").read_text(encoding="utf-8")


def test_an_interrupted_run_exits_with_130_and_says_how_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    assert code("run", "counting", "--out", "here", "steps=99") == 130
    assert "polyray run counting --config here/config.yaml --out here" in capsys.readouterr().err


def test_a_described_space_can_be_edited_and_described_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert code("describe-space", "dual_speed") == 0
    text, file = capsys.readouterr().out, tmp_path / "mine.yaml"
    assert "  training.routing_lr:\n" in text and "    loguniform: [0.001, 1.0]\n" in text
    file.write_text(text.replace("0.001, 1.0", "0.01, 1.0"))
    assert code("describe-space", str(file)) == 0
    assert capsys.readouterr().out == text.replace("0.001, 1.0", "0.01, 1.0")
    file.write_text(text.replace("routing_lr", "rooting_lr"))
    assert code("describe-space", str(file)) == 2
    line = text[: text.index("routing_lr")].count("\n") + 1
    assert f"{file}:{line}: the job polytropon has no field 'training.rooting_lr'. Did" in capsys.readouterr().err


def test_a_described_config_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert code("describe", "counting") == 0
    text = capsys.readouterr().out
    assert "# Steps to make.\nsteps: 3\n" in text
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert code("run", "counting", "--config", "mine.yaml", "--out", "here") == 0


@pytest.mark.parametrize("job", sorted(JOBS))
def test_every_job_describes_its_default_config(job: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert code("describe", job) == 0
    file = tmp_path / "config.yaml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_config(JOBS[job].Config, file) == JOBS[job].Config()


@pytest.mark.parametrize("table", TABLES)
def test_every_entry_of_every_table_is_listed_with_a_line_about_it(
    table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code("list", table, "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries
    assert [name for name, about in entries.items() if not about or "\n" in about] == []
    assert code("list", table) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith(name) for line, name in zip(lines, entries, strict=True)] == [True] * len(entries)


@pytest.fixture
def skills(tmp_path: Path) -> Path:
    """A folder with the skills `first` and `second`."""
    for name in ("first", "second"):
        card = Card(
            name=name,
            kind="lora",
            backbone=BackboneCard(name="tiny-causal", fingerprint="f"),
            sites=("a",),
            options={"rank": 2},
            tasks=("t1", "t2", "t3", "t4"),
        )
        save_skill(Skill(card=card, tensors={"a/down": torch.ones(2, 3)}), tmp_path / "skills" / name)
    return tmp_path / "skills"


def test_skills_are_listed(skills: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code("skills", "list", str(skills)) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "first   lora  tiny-causal  t1, t2, t3, ... (4 in all)"
    assert second.startswith("second  lora")
    assert code("skills", "list", str(skills), "--json") == 0
    assert json.loads(capsys.readouterr().out)["second"]["options"] == {"rank": 2}


def test_a_card_is_shown_as_yaml_and_as_json(skills: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code("skills", "show", str(skills / "first")) == 0
    card = yaml.safe_load(capsys.readouterr().out)
    assert (card["name"], card["kind"]) == ("first", "lora")
    assert code("skills", "show", str(skills / "first"), "--json") == 0
    assert json.loads(capsys.readouterr().out) == card


def test_whole_skills_are_verified_and_a_damaged_one_is_named(skills: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code("skills", "verify", str(skills)) == 0
    assert "2 skills" in capsys.readouterr().out
    tensors = skills / "second" / "skill.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    assert code("skills", "verify", str(skills)) == 2
    assert str(tensors) in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert code("--version") == 0
    assert capsys.readouterr().out == f"polyray {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["rnu"]])
def test_help_and_typos_load_neither_torch_nor_ray(arguments: list[str]) -> None:
    look = (
        "import sys\n"
        "from polyray.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "sys.exit(1 if {'torch', 'ray', 'transformers'} & sys.modules.keys() else 0)\n"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, env=dict(os.environ))
    assert time.monotonic() - started < 10  # about 0.5 s on an idle machine
