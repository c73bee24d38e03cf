"""A space: the fields of a job's config that a sweep may vary, and the goal by which it judges."""

import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from polyray.config import Section
from polyray.errors import InputError
from polyray.sweeps.fields import Field, Value, as_value

Mode = Literal["max", "min"]
MODES: Mapping[str, Mode] = {"max": "max", "min": "min"}


@dataclass(frozen=True)
class Goal:
    """The number by which a sweep judges.

    Attributes:
        name: its dotted name in the job's metrics: mean, tasks.NAME.acc, validation.score.
        mode: whether it is to be large or small.
    """

    name: str
    mode: Mode = "max"

    @property
    def sign(self) -> float:
        """1 where it is to be large, -1 where it is to be small."""
        return 1.0 if self.mode == "max" else -1.0


@dataclass(frozen=True, kw_only=True)
class Space:
    """The fields of one job's config that a sweep may vary, and its usual goal, searcher and scheduler.

    A field with conditions (`only_with`) is read where the other fields have those values; a condition on a field that
    the space does not vary is decided by the config (`settle`).

    Attributes:
        about: one line.
        job: name of the job; empty: any.
        fields: by dotted name.
        settings: fields that all trials share, unless the user sets them, by dotted name.
        settings_only_with: conditions on the config under which a setting counts; see `decide`.
        origins: where each field was written (file:line), for messages.
    """

    about: str
    job: str
    goal: Goal
    searcher: str = "tpe"
    scheduler: str = "none"
    fields: Mapping[str, Field]
    settings: Mapping[str, Value] = field(default_factory=dict)
    settings_only_with: Mapping[str, Mapping[str, tuple[Value, ...]]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.fields:
            raise InputError("A space needs at least one field.")
        both = [name for name in self.fields if _is_set(name, self.settings)]
        if both:
            raise InputError(f"{self._at(both[0])}the space varies {both[0]}, and its settings set it: choose one.")
        for name in self.order:
            for other, values in self.fields[name].only_with.items():
                self._check_condition(name, other, values)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The names of the fields, those that others depend on before these."""
        names: dict[str, None] = {}
        for name in self.fields:
            self._visit(name, (), names)
        return tuple(names)

    def walk(self, value_of: Callable[[str, Field], Value]) -> dict[str, Value]:
        """The fields whose conditions hold, each with the value that `value_of` gives it, in order of dependence."""
        values: dict[str, Value] = {}
        for name in self.order:
            if self.is_read(name, values):
                values[name] = value_of(name, self.fields[name])
        return values

    def draw(self, rng: random.Random) -> dict[str, Value]:
        """One configuration at random: the fields whose conditions hold, in order of dependence."""
        return self.walk(lambda _, each: each.draw(rng))

    def read(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """The fields of `values` that their own values let the job read, in order of dependence; lists become tuples.

        Raises:
            InputError: a field that is read has no value.
        """

        def value_of(name: str, _: Field) -> Value:
            if name not in values:
                raise InputError(f"The configuration has no value of {name}.")
            return as_value(values[name])

        return self.walk(value_of)

    def is_read(self, name: str, values: Mapping[str, Value]) -> bool:
        """Whether the conditions of a field hold."""
        return all(values.get(other) in allowed for other, allowed in self.fields[name].only_with.items())

    def overrides(self, typed: Sequence[str]) -> list[str]:
        """The settings that no override sets, as overrides, and then the overrides that the user typed."""
        names = [text.partition("=")[0] for text in typed]
        return [_override(name, value) for name, value in self.settings.items() if not _is_set(name, names)] + [*typed]

    def decide(self, config: Section) -> "Space":
        """The space with the settings whose conditions hold in a base config, and without conditions on them."""
        settings = {
            name: value
            for name, value in self.settings.items()
            if all(config_value(config, other) in values for other, values in self._setting_conditions(name).items())
        }
        return replace(self, settings=settings, settings_only_with={})

    def settle(self, config: Section, fixed: Collection[str] = ()) -> "Space":
        """The space under a base config: conditions on fields that it does not vary are decided by the config's values.

        Args:
            fixed: names of fields, or of whole sections, that are not to be varied, because the user has set them.

        Raises:
            InputError: nothing is left to vary.
        """
        varied = {name: each for name, each in self.fields.items() if not _is_set(name, fixed)}
        for name in self.order:
            if name not in varied:
                continue
            conditions = varied[name].only_with
            decided = {other for other in conditions if other not in self.fields or _is_set(other, fixed)}
            remaining = {other: allowed for other, allowed in conditions.items() if other not in decided}
            holds = all(config_value(config, other) in conditions[other] for other in decided)
            if holds and all(other in varied for other in remaining):
                varied[name] = varied[name].with_conditions(remaining)
            else:
                del varied[name]
        if not varied:
            raise InputError(f"Nothing is left to vary of {', '.join(self.fields):.400}: each is set, or not read.")
        return replace(self, fields=varied)

    def _setting_conditions(self, name: str) -> Mapping[str, tuple[Value, ...]]:
        return self.settings_only_with.get(name, {})

    def _visit(self, name: str, path: tuple[str, ...], names: dict[str, None]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise InputError(f"{self._at(name)}The conditions of fields go round in a circle: {circle:.400}.")
        for other in self.fields[name].only_with:
            if other in self.fields:
                self._visit(other, (*path, name), names)
        names[name] = None

    def _check_condition(self, name: str, other: str, values: Collection[Value]) -> None:
        if not values:
            raise InputError(f"{self._at(name)}{name} is only_with no value of {other}: name at least one.")
        if other not in self.fields:
            return
        for value in values:
            try:
                self.fields[other].coordinate(value)
            except InputError as error:
                raise InputError(f"{self._at(name)}{name} is only_with {other}={value!s:.80}, but {error}.") from None

    def _at(self, name: str) -> str:
        return f"{self.origins[name]}: " if name in self.origins else ""


def _is_set(name: str, fixed: Collection[str]) -> bool:
    return any(f"{name}.".startswith(f"{each}.") for each in fixed)


def _override(name: str, value: Value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"{name}={value if isinstance(value, str) else text}"


def config_value(config: Section, name: str) -> Value | None:
    """The value of a dotted field; None where the config has none."""
    values: Any = config.model_dump(mode="json")
    for step in name.split("."):
        values = values.get(step) if isinstance(values, Mapping) else None
    return None if values is None or isinstance(values, Mapping) else as_value(values)
