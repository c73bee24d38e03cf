"""Configs: what they accept, and what they say about what they refuse."""

from pathlib import Path

import pytest
import yaml
from pydantic import Field

from polyray.config import Section, describe_config, dotted, dump_config, field_names, load_config
from polyray.errors import InputError


class Training(Section):
    steps: int = Field(default=100, gt=0)
    """Optimizer steps."""
    lr: float = 1e-2
    """Learning rate."""


class Config(Section):
    suite: str = "planted"
    """Which suite.

    Any of them.
    """
    include: tuple[str, ...] = ()
    """Patterns."""
    training: Training = Training()
    """Options of the training."""


def refusal(file: Path | None = None, *overrides: str) -> str:
    """Message of load_config when it refuses `file` and `overrides`."""
    with pytest.raises(InputError) as caught:
        load_config(Config, file, overrides)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_a_trial_beats_an_override_beats_the_file_beats_the_default(file: Path) -> None:
    file.write_text("suite: jsonl\ntraining: {steps: 5, lr: 0.5}\n")
    config = load_config(Config, file, ["training.lr=0.25", "training.steps=6"], {"training.steps": 7})
    assert (config.suite, config.include, config.training) == ("jsonl", (), Training(steps=7, lr=0.25))


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("training.lr=1e-3", "lr", 1e-3),
        ("training.lr=5E-05", "lr", 5e-5),
        ("training.steps=12", "steps", 12),
    ],
)
def test_numbers_are_read_as_everybody_writes_them(override: str, name: str, value: float) -> None:
    assert load_config(Config, None, [override]).training.model_dump()[name] == value


def test_a_list_is_written_as_yaml_and_a_value_may_hold_an_equals_sign() -> None:
    config = load_config(Config, None, ["include=[a-*, b]", "suite=a=b"])
    assert (config.include, config.suite) == (("a-*", "b"), "a=b")


def test_a_config_survives_yaml(file: Path) -> None:
    config = Config(suite="é", include=("a", "b"), training=Training(lr=1e-7))
    file.write_text(dump_config(config), encoding="utf-8")
    assert load_config(Config, file) == config


def test_the_description_documents_every_field_and_is_the_default_config(file: Path) -> None:
    text = describe_config(Config)
    file.write_text(text, encoding="utf-8")
    assert load_config(Config, file) == Config()
    for message in ("# Which suite.", "# Any of them.", "# Options of the training.", "  # Learning rate.\n  lr: 0.01"):
        assert message in text


def test_a_default_of_several_lines_reads_back_from_the_description(file: Path) -> None:
    class Prompted(Section):
        prompt: str = "Answer this:\n\n  {input}"
        prompts: tuple[str, ...] = ("a\nb",)

    file.write_text(describe_config(Prompted), encoding="utf-8")
    assert load_config(Prompted, file) == Prompted()


def test_field_names_are_dotted() -> None:
    assert field_names(Config) == ["suite", "include", "training.steps", "training.lr"]


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().suite = "other"  # type: ignore[misc]  # that is what is tried


def test_an_unknown_field_in_a_file_is_told_with_file_line_and_nearest_name(file: Path) -> None:
    file.write_text("suite: planted\ntraining:\n  steps: 3\n  lrr: 0.1\n")
    assert refusal(file) == f"No field is called 'training.lrr' ({file}:4). Did you mean 'training.lr'?"


def test_an_unknown_field_on_the_command_line_is_told_with_the_nearest_name() -> None:
    message = refusal(None, "training.step=3")
    assert (
        message
        == "No field is called 'training.step' (command line, 'training.step=3'). Did you mean 'training.steps'?"
    )


def test_an_unknown_field_like_no_other_is_told_with_all_names() -> None:
    assert "Known: suite, include, training.steps, training.lr." in refusal(None, "zzzzzz=3")


def test_a_wrong_value_is_told_with_file_and_line(file: Path) -> None:
    file.write_text("# first\n\ntraining:\n  steps: many\n")
    message = refusal(file)
    assert message.startswith(f"training.steps = 'many' ({file}:4): ")
    assert "integer" in message


def test_a_value_out_of_range_is_told_with_the_override_that_set_it(file: Path) -> None:
    file.write_text("training:\n  steps: 3\n")
    message = refusal(file, "training.steps=0")
    assert message == "training.steps = 0 (command line, 'training.steps=0'): Input should be greater than 0"


def test_every_wrong_field_is_told_at_once() -> None:
    assert len(refusal(None, "training.steps=0", "suit=x").splitlines()) == 2


@pytest.mark.parametrize("override", ["training.steps", "=3", ""])
def test_an_override_without_name_or_value_is_refused(override: str) -> None:
    assert "section.key=value" in refusal(None, override)


def test_an_override_inside_a_value_is_refused() -> None:
    assert "'suite' is already a value" in refusal(None, "suite=x", "suite.name=y")


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n", ":1 must hold `field: value` pairs"), ("a: [\n", "is not valid YAML"), ("7", "found a single value")],
)
def test_a_file_that_holds_no_fields_is_refused(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    assert message in refusal(file)


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    assert f"Cannot read {file}" in refusal(file)


def test_an_empty_file_is_the_default_config(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert load_config(Config, file) == Config()


def test_the_dump_is_plain_yaml() -> None:
    assert yaml.safe_load(dump_config(Config())) == {
        "suite": "planted",
        "include": [],
        "training": {"steps": 100, "lr": 0.01},
    }


def test_nested_values_have_dotted_names_down_to_a_level() -> None:
    values = {"a": {"b": {"c": 1}, "d": {}}, "e": [2]}
    assert dotted(values) == {"a.b.c": 1, "a.d": {}, "e": [2]}
    assert dotted(values, levels=1) == {"a.b": {"c": 1}, "a.d": {}, "e": [2]}
