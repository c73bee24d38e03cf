"""A space by its name or from the user's own file, for one job."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from polyray.config import Section, load_config
from polyray.config.overrides import parse_override
from polyray.errors import InputError
from polyray.formats import is_there, user_path
from polyray.lookup import suggestion
from polyray.sweeps.checking import check_names, check_space
from polyray.sweeps.reading import read_space
from polyray.sweeps.space import Space
from polyray.tune_spaces import SPACES

ENDINGS = (".yaml", ".yml")


def load_space(
    name_or_file: str, job: str, kind: type[Section], file: Path | None = None, overrides: Sequence[str] = ()
) -> Space:
    """The space of a sweep over `job`: every draw of it is a config of the job.

    A field that an override sets is not varied, and the base config decides the conditions on fields outside.

    Args:
        kind: of the job's config.
        file, overrides: of the base config, as `load_config` takes them.

    Raises:
        InputError: there is no such space, it is another job's, it is written wrongly, names fields that the job lacks,
            draws what the job refuses, or nothing is left to vary.
    """
    space = find_space(name_or_file)
    if space.job not in ("", job):
        raise InputError(f"The space {name_or_file} is for the job {space.job}, not for {job}.")
    space = replace(space, job=job)
    check_names(space, kind)
    space = space.decide(load_config(kind, file, overrides))
    overrides = space.overrides(overrides)
    fixed = [parse_override(kind, override)[0] for override in overrides]
    space = space.settle(load_config(kind, file, overrides), fixed)
    check_space(space, kind, file, overrides)
    return space


def find_space(name_or_file: str) -> Space:
    """The space called so, or the one that a YAML file describes.

    Raises:
        InputError: there is neither, or the file is written wrongly.
    """
    if name_or_file in SPACES:
        return SPACES[name_or_file]
    path = user_path(name_or_file)
    if name_or_file.endswith(ENDINGS) or is_there(path):
        return read_space(path)
    raise InputError(
        f"No space is called {name_or_file!r:.80}. {suggestion(name_or_file, SPACES)} A space of your own is a file "
        "that ends in .yaml; `polyray describe-space` prints one to begin with."
    )
