"""A space against its job's config: names that the config has, values that it takes."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from polyray.config import Section, field_names, load_config
from polyray.errors import InputError
from polyray.lookup import nearest
from polyray.sweeps.fields import Value
from polyray.sweeps.space import Space

RANDOM_DRAWS = 8  # that are tried besides the ends of every field


def check_space(space: Space, kind: type[Section], file: Path | None = None, overrides: Sequence[str] = ()) -> None:
    """Refuse a space whose draws are no configs, before anything starts.

    Every name must be a field of the config. Every end of a range, every listed value, and a few random draws must be
    taken by it, each in a draw that reads it.

    Args:
        kind: of the job's config.
        file, overrides: of the base config, as `load_config` takes them.

    Raises:
        InputError: that is so; the message says where the field was written.
    """
    check_names(space, kind)
    overrides = space.overrides(overrides)
    for name, trial in _trials(space):
        try:
            load_config(kind, file, overrides, trial=trial)
        except InputError as error:
            origin = space.origins.get(name, "the space")
            raise InputError(f"{origin}: the space draws what the job {space.job} refuses: {error}") from None


def check_names(space: Space, kind: type[Section]) -> None:
    """Refuse a space that names a field which the config lacks.

    Raises:
        InputError: that is so; the message gives the nearest name.
    """
    names = field_names(kind)
    used = [(name, name) for name in (*space.fields, *space.settings)]
    used += [(field, other) for field, each in space.fields.items() for other in each.only_with]
    used += [(field, other) for field, conditions in space.settings_only_with.items() for other in conditions]
    for field, name in used:
        if name not in names:
            near = nearest(name, names)
            hint = f"Did you mean {near!r}?" if near else f"Known: {', '.join(names)}."
            origin = space.origins.get(field, "the space")
            raise InputError(f"{origin}: the job {space.job} has no field {name!r:.80}. {hint}")


def _trials(space: Space) -> Iterator[tuple[str, dict[str, Value]]]:
    """Draws that cover the ends of every field, with the name of the field that each is for; then random ones."""
    rng = random.Random(0)
    for name, field in space.fields.items():
        for end in field.ends():
            values = {other: each.draw(rng) for other, each in space.fields.items()}
            values[name] = end
            _meet_conditions(space, name, values)
            yield name, space.read(values)
    yield from (("", space.draw(rng)) for _ in range(RANDOM_DRAWS))


def _meet_conditions(space: Space, name: str, values: dict[str, Value]) -> None:
    """Set the fields on which `name` depends so that it is read."""
    for other, allowed in space.fields[name].only_with.items():
        if other in space.fields:
            values[other] = allowed[0]
            _meet_conditions(space, other, values)
