"""Values on the command line and in a config file: as they are written, or refused in words of the config."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from polyray.config import Section, dump_config, load_config
from polyray.errors import InputError


class Task(Section):
    path: str = ""
    """A folder."""
    labels: tuple[str, ...] = ()
    """Words."""


class Training(Section):
    steps: int = Field(100, ge=1)
    """Updates."""
    lr: float = Field(1e-3, gt=0)
    """Speed."""
    checkpointing: bool = False
    """Less memory."""


class Config(Section):
    path: str = "data"
    """A folder."""
    names: tuple[str, ...] = ("attention",)
    """Words."""
    rates: tuple[float, ...] = ()
    """Numbers."""
    column: int | None = None
    """A column."""
    way: Literal["error", "truncate"] = "error"
    """A choice."""
    tasks: dict[str, Task] = Field(default_factory=dict)
    """By name."""
    each: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Anything."""
    training: Training = Training()
    """Length of the training."""


def refusal(*overrides: str, file: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_config(Config, file, overrides)
    return str(caught.value)


TEXTS = (
    "data #1",
    "2024",
    "on",
    "null",
    "1e5",
    "a: b",
    "[x]",
    "{x}",
    "*a",
    "&a",
    "!x",
    "'x'",
    " x ",
    "",
    "~",
    "%",
    "é",
)


def test_a_text_on_the_command_line_is_exactly_what_was_typed(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    for text in TEXTS:
        config = load_config(Config, None, [f"path={text}", f"tasks.rte.path={text}"])
        assert (config.path, config.tasks["rte"].path) == (text, text)
        file.write_text(dump_config(config), encoding="utf-8")
        assert load_config(Config, file) == config


def test_an_unquoted_scalar_in_a_file_is_a_text_or_a_number_as_the_field_wants_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "path: 2024-13-45\nnames: [on, 010, 1:30, no]\nrates: [1e-3, 2]\ncolumn: ~\nway: truncate\n"
        "tasks: {on: {path: 007, labels: [yes, 'no', 1.0]}}\neach: {a: {n: 010, on: off, x: 1e-3, y: true}}\n"
        "training: {checkpointing: on, steps: 1e2}\n"
    )
    config = load_config(Config, file)
    assert (config.path, config.names, config.rates) == ("2024-13-45", ("on", "010", "1:30", "no"), (1e-3, 2.0))
    assert config.tasks == {"on": Task(path="007", labels=("yes", "no", "1.0"))}
    assert config.each == {"a": {"n": 10, "on": "off", "x": 1e-3, "y": True}}
    assert config.training == Training(checkpointing=True, steps=100)


def test_lists_mappings_numbers_and_empty_values_on_the_command_line_are_read_as_yaml() -> None:
    config = load_config(
        Config, None, ['names=["*.q", on]', "rates=[1e-3]", "column=-1", "each={a: {n: 1}}", "training={steps: 3}"]
    )
    assert (config.names, config.rates, config.column) == (("*.q", "on"), (1e-3,), -1)
    assert (config.each, config.training.steps) == ({"a": {"n": 1}}, 3)
    assert load_config(Config, None, ["column="]).column is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.steps=true", "training.steps = "), ("training.steps=true", "expected a number, found true"),
        ("training.lr=inf", "expected a finite number"), ("training.lr=.nan", "expected a finite number"),
        ("training.lr=1e999", "expected a finite number"), ("rates=[.inf]", "expected a finite number"),
        ("rates=[true]", "expected a number, found true"), ("training.steps=8.5", "expected an integer"),
        (f"training.steps={'9' * 5000}", "a number of 5000 digits"), ("training.steps=5 #1", "expected an integer"),
        ("names=ffn", "expected a list, such as [ffn]"), ("training=5", "expected a section"),
        ("training.checkpointing=maybe", "expected true or false"), ("way=trunkate", "Did you mean 'truncate'?"),
        ("trainng.steps=3", "No field is called 'trainng.steps'"),
        ("trainng.steps=3", "Did you mean 'training.steps'?"),
        (".training.steps=5", "Did you mean 'training.steps'?"), ("training..steps=5", "section.key=value"),
        ("names=[*.q]", 'quote texts that begin with a sign: ["*.q_proj", b]'), ("path=\udce9", "not valid UTF-8"),
        ("names=[a", "Cannot read the value"), ("tasks.a.pth=x", "No field is called 'tasks.a.pth'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_words_of_the_config(override: str, message: str) -> None:
    refused = refusal(override)
    assert message in refused
    assert len(refused.splitlines()) == 1 and len(refused) < 6000
    assert "default" not in refused and "tuple" not in refused


def test_a_boolean_is_no_number_in_python_either() -> None:
    for values in ({"steps": True}, {"lr": False}, {"lr": float("nan")}):
        with pytest.raises(ValidationError):
            Training(**values)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training:\n  steps: 5\npath: x\ntraining:\n  lr: 1", ":4: the field 'training' stands twice, here"),
        ("path: a\n'path': b\n", ":2: the field 'path' stands twice"), (LAUGHS, "more than 100000 values"),
        ("names: &a [x, *a]\n", ":1: the alias *a names no value that is complete here"),
        ("names: " + "[" * 3000 + "]" * 3000, "nested too deeply"), (f"training: {{steps: {'1' * 5000}}}", ":1): "),
        ("training: {lr: .inf}", ":1): expected a finite number"), ("path: !!python/name:os.system x", "the tag"),
        ("path: !!timestamp 2024-13-45", "the tag"), ("training:\n  steps: 2024-13-45", ":2): expected an integer"),
        ("path: ~", ":1): expected a text"), ("[a]: 1", "expected the name of a field"),
        ("a: 1\n---\nb: 2", "a second document"),
        ('path: "\\ud800"', ":1 is not valid YAML"), ("path: a\tb\x07", "not valid YAML"),
        ("\tpath: a", ":1 is not valid YAML"),
        ("trainng:\n  steps: 1\n  lr: 2\n", "No field is called 'trainng'"),
        ("names:\n- a\n- [b]\n", ":3): expected a text"),
    ],
)  # fmt: skip
def test_hostile_yaml_is_refused_with_one_message(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    refused = refusal(file=file)
    assert message in refused and str(file) in refused
    assert len(refused.splitlines()) == 1


def test_only_regular_files_of_text_are_read(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"path: a\npath2: \xff")
    assert ":2: the byte 0xff is not UTF-8" in refusal(file=tmp_path / "bytes")
    assert "it is a device; expected a regular file" in refusal(file=Path("/dev/zero"))
    assert "it is a folder; expected a regular file" in refusal(file=tmp_path)
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(2**31)
    assert "is larger than 1 MiB" in refusal(file=tmp_path / "large")
    assert "File name too long" in refusal(file=tmp_path / ("x" * 300))
