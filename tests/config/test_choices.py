"""Sections whose fields depend on the entry that they choose."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from pydantic import Field, ValidationError

from polyray.config import Choice, NoOptions, Section, describe_config, dump_config, field_names, load_config
from polyray.errors import InputError


class Lines(Section):
    width: int = Field(3, ge=1)
    """Width of a line."""
    dashed: bool = False
    """Whether it is dashed."""

    def unread(self) -> Mapping[str, str]:
        return {"dashed": "a hair line has no dashes"} if self.width == 1 else {}


class Discs(Section):
    width: int = Field(7, ge=1)
    """Width of a disc."""
    hole: float = 0.0
    """Width of its hole."""

    def unread(self) -> Mapping[str, str]:
        return {"hole": "a point has no hole"} if self.width == 1 else {}


@dataclass(frozen=True)
class Entry:
    Options: type[Section]


SHAPES = {"line": Entry(Lines), "disc": Entry(Discs), "ring": Entry(Discs), "dot": Entry(NoOptions)}


class Shape(Choice):
    table = SHAPES
    noun = "shape"

    kind: str = "line"
    """Which shape."""
    colour: str = "red"
    """Its colour."""


class Config(Section):
    shape: Shape = Shape()
    """The shape to draw."""
    times: int = 1
    """Copies to draw."""

    def unread(self) -> Mapping[str, str]:
        return {"times": "a dot is drawn once"} if self.shape.kind == "dot" else {}


class Thick(Config):
    shape: Shape = Shape(options=Lines(width=9), colour="blue")
    """The shape to draw."""


def refusal(*overrides: str, kind: type[Section] = Config) -> str:
    with pytest.raises(InputError) as caught:
        load_config(kind, overrides=overrides)
    return str(caught.value)


def test_the_chosen_entry_s_options_stand_flat_beside_the_kind() -> None:
    config = load_config(Config, overrides=["shape.kind=disc", "shape.hole=0.5"])
    assert config.shape == Shape(kind="disc", options=Discs(hole=0.5))
    assert config.model_dump(mode="json")["shape"] == {"kind": "disc", "width": 7, "hole": 0.5, "colour": "red"}
    assert load_config(Config).shape == Shape(kind="line", options=Lines())


def test_what_is_dumped_is_read_back(tmp_path: Path) -> None:
    for kind in SHAPES:
        config = load_config(Config, overrides=[f"shape.kind={kind}", "shape.colour=green"])
        (tmp_path / "config.yaml").write_text(dump_config(config))
        assert load_config(Config, tmp_path / "config.yaml") == config


def test_an_option_that_the_entry_lacks_is_refused_with_those_that_have_it() -> None:
    message = refusal("shape.hole=0.5")
    assert message == (
        "shape.hole (command line, 'shape.hole=0.5') is not read with shape.kind=line; disc, ring read it. "
        "Leave it out, or choose another shape.kind."
    )
    assert "is not read with shape.kind=dot; line reads it" in refusal("shape.kind=dot", "shape.dashed=true")


def test_a_default_of_another_entry_is_no_choice_of_the_user_s(tmp_path: Path) -> None:
    file = tmp_path / "described.yaml"
    file.write_text(describe_config(Config))
    assert load_config(Config, file, ["shape.kind=disc"]).shape.options == Discs(width=3)  # both have a width
    assert load_config(Config, file, ["shape.kind=dot"]).shape.options == NoOptions()
    file.write_text("shape: {kind: line, dashed: true}")
    assert "shape.dashed" in refusal_of(file, "shape.kind=dot")


def refusal_of(file: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(Config, file, overrides)
    return str(caught.value)


def test_unknown_kinds_fields_and_values_are_told_with_their_place() -> None:
    assert "shape.kind = 'lime' (command line, 'shape.kind=lime'): No shape is called 'lime'. Did you mean 'line'?" in (
        refusal("shape.kind=lime")
    )
    assert "No field is called 'shape.widht'" in refusal("shape.widht=2")
    assert "Did you mean 'shape.width'?" in refusal("shape.widht=2")
    assert refusal("shape.width=0").startswith("shape.width = 0 (command line, 'shape.width=0'): ")


def test_a_job_s_own_defaults_hold_for_what_is_not_set() -> None:
    assert load_config(Thick).shape == Shape(options=Lines(width=9), colour="blue")
    assert load_config(Thick, overrides=["shape.dashed=true"]).shape.options == Lines(width=9, dashed=True)
    disc = load_config(Thick, overrides=["shape.kind=disc"]).shape  # a disc has a width too, so the job's holds
    assert (disc.options, disc.colour) == (Discs(width=9), "blue")
    assert load_config(Thick, overrides=["shape.kind=dot"]).shape.options == NoOptions()


def test_a_field_that_is_not_read_is_refused_when_it_is_set() -> None:
    assert load_config(Config, overrides=["shape.kind=dot", "times=1"]).times == 1  # as by default
    assert refusal("shape.kind=dot", "times=2") == (
        "times (command line, 'times=2') is not read: a dot is drawn once. Leave it out."
    )


def test_sections_and_options_of_a_choice_say_themselves_what_they_do_not_read() -> None:
    assert refusal("shape.width=1", "shape.dashed=true") == (
        "shape.dashed (command line, 'shape.dashed=true') is not read: a hair line has no dashes. Leave it out."
    )


def test_an_unread_field_may_have_the_default_that_it_has_with_the_chosen_kind() -> None:
    point = load_config(Config, overrides=["shape.kind=disc", "shape.width=1", "shape.hole=0"])  # a line has no hole
    assert point.shape.options == Discs(width=1)
    assert "a point has no hole" in refusal("shape.kind=disc", "shape.width=1", "shape.hole=0.5")


def test_a_description_shows_the_options_of_other_entries_as_comments() -> None:
    text = describe_config(Config)
    assert yaml.safe_load(text) == Config().model_dump(mode="json")
    assert "  # With disc or ring:\n  #   # Width of its hole.\n  #   hole: 0.0\n" in text
    assert text.count("width") == 1  # lines and discs share it
    assert field_names(Config) == ["shape.kind", "shape.width", "shape.dashed", "shape.hole", "shape.colour", "times"]


def test_options_of_another_class_and_values_of_wrong_type_are_refused_in_python() -> None:
    wrong: list[dict[str, Any]] = [
        {"kind": "line", "options": Discs()}, {"kind": "disc", "dashed": True}, {"kind": "line", "width": "wide"},
    ]  # fmt: skip
    for values in wrong:
        with pytest.raises(ValidationError):
            Shape(**values)


class Beside(Section):
    selectors: ClassVar[Mapping[str, str]] = {"shape": "form"}

    form: str = "line"
    """The kind of the shape."""
    shape: Shape = Shape()
    """Its options."""


def test_a_choice_s_kind_may_stand_beside_it() -> None:
    assert "shape.kind" not in field_names(Beside)
    assert refusal("shape.hole=1", kind=Beside).startswith(
        "shape.hole (command line, 'shape.hole=1') is not read with form=line; disc, ring read it."
    )
