"""The folder of a sweep: what is swept, the lock that keeps a second process out, and the trials in it.

config.yaml    job, name of the space, overrides, options, seed     space.yaml    the fields that vary
base.yaml      the file of the base config, if there is one          trials.jsonl  the configurations
trials/0007    an ordinary run folder; with several repeats 0007-0, 0007-1, ...
trials/0007.json    the end of a trial that is no finished run (see `polyray.sweeps.verdict`)
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from polyray.config import Section, dotted, load_config
from polyray.errors import InputError, StorageError
from polyray.files import absent_folders, clear, is_remains, make_folders, remove_empty, write_file
from polyray.formats import read_document, read_yaml
from polyray.runs.locking import is_locked, locked
from polyray.sweeps.fields import Value
from polyray.sweeps.journal import TRIALS, mend_entries
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.reading import parse_space
from polyray.sweeps.space import Space
from polyray.sweeps.writing import dump_space

CONFIG, SPACE, BASE, LOCK = "config.yaml", "space.yaml", "base.yaml", ".lock"
FIRST_LINE = "# sweep"
RUNS = "trials"

AConfig = TypeVar("AConfig", bound=Section)


@dataclass(frozen=True, kw_only=True)
class SweepFolder:
    """One sweep over `space` in `path`; `path` is as the user wrote it.

    Attributes:
        job, name: names of the job and of the space.
        overrides: of the job's config, as the user typed them.
        base: content of the file of the base config; empty: there is none.
        seed_field: dotted name of the field with the seed of a run; empty: the job has none.
        seed: its value in the base config.
        url: of the folder, where `path` is a working copy of it; empty: it is the folder itself.
    """

    path: Path
    job: str
    name: str
    space: Space
    options: SweepOptions
    overrides: tuple[str, ...] = ()
    base: str = ""
    seed_field: str = ""
    seed: int = 0
    url: str = ""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, or check the one that is there, and keep every other process out of it meanwhile.

        Options that may change when a sweep goes on are written anew. When the body raises InputError before a trial
        was drawn, a new sweep is removed again.

        Raises:
            InputError: the path is no folder, holds something else or another sweep, or another process is at work in
                it. Nothing was written.
        """
        self.check()
        new_folders = absent_folders(self.path)
        try:
            make_folders(self.path)
        except StorageError as error:
            raise InputError(f"Cannot make the folder {self.path}. {error} Choose another --out.") from None
        with locked(self.path / LOCK):
            self.check()
            is_new = not (self.path / CONFIG).exists()
            self._begin()
            try:
                yield
            except InputError:
                if is_new and not (self.path / TRIALS).exists():
                    self._remove(new_folders)
                raise

    @property
    def is_busy(self) -> bool:
        """Whether a process is at work on it."""
        return is_locked(self.path / LOCK)

    def folders(self, number: int) -> tuple[Path, ...]:
        """The run folders of a trial, one for each repeat."""
        name = self.path / RUNS / f"{number:04d}"
        repeats = self.options.repeats
        return (name,) if repeats == 1 else tuple(name.with_name(f"{name.name}-{i}") for i in range(repeats))

    def verdict_file(self, number: int) -> Path:
        """The file with the verdict on a trial."""
        return self.path / RUNS / f"{number:04d}.json"

    def seeds(self, fields: Mapping[str, Value]) -> tuple[int, ...]:
        """The seed of each repeat of a trial."""
        first = fields.get(self.seed_field, self.seed)
        assert isinstance(first, int)
        return tuple(first + repeat for repeat in range(self.options.repeats))

    def config(self, kind: type[AConfig], fields: Mapping[str, Any], repeat: int = 0) -> AConfig:
        """The config of a repeat of a trial.

        Raises:
            InputError: the job refuses the fields.
        """
        seeds = {self.seed_field: self.seeds(fields)[repeat]} if self.seed_field else {}
        base = self.path / BASE if self.base else None
        return load_config(kind, base, self.overrides, trial={**fields, **seeds})

    def _begin(self) -> None:
        """Write what is new, and remove what killed processes left."""
        if self.base:
            write_file(self.path / BASE, self.base)
        write_file(self.path / SPACE, dump_space(self.space))
        write_file(self.path / CONFIG, f"{FIRST_LINE}\n{yaml.safe_dump(self._values(), sort_keys=False)}")
        make_folders(self.path / RUNS)
        for folder in (self.path, self.path / RUNS):
            clear(folder)
        mend_entries(self.path)

    def _remove(self, folders: Sequence[Path]) -> None:
        """Remove a sweep that never began, and those of the new `folders`, innermost first, that are empty then."""
        shutil.rmtree(self.path / "logs", ignore_errors=True)
        for name in (CONFIG, SPACE, BASE, LOCK):
            (self.path / name).unlink(missing_ok=True)
        remove_empty((self.path / RUNS, *folders))

    def _values(self) -> dict[str, Any]:
        return {
            "job": self.job, "space": self.name, "overrides": list(self.overrides), "seed_field": self.seed_field,
            "seed": self.seed, "sweep": self.options.model_dump(mode="json"),
        }  # fmt: skip

    def check(self) -> None:
        """Look whether this sweep could begin or go on in its folder; nothing is written.

        Raises:
            InputError: it could not; see `locked`.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise InputError(f"The sweep's folder {self.path} is a file. Choose another --out.")
        begun = (TRIALS, CONFIG)
        if not any((self.path / name).exists() for name in begun):
            remains = (LOCK, SPACE, BASE, RUNS)
            if any(entry.name not in remains and not is_remains(entry.name) for entry in self.path.iterdir()):
                raise InputError(
                    f"{self.url or self.path} holds files but no sweep (no {CONFIG}). Choose another --out."
                )
            return
        lines = self._differences(open_sweep(self.path))
        if lines:
            raise InputError(
                f"{self.url or self.path} holds another sweep:\n  " + "\n  ".join(lines) + "\nChoose another --out."
            )

    def _differences(self, stored: "SweepFolder") -> list[str]:
        """A line for each setting in which the sweep in the folder differs from this one."""
        free = {name: vars(stored.options)[name] for name in SweepOptions.elastic}
        mine = replace(self._unwatched(), options=self.options.model_copy(update=free))
        pairs = [(dotted(one._values()), dotted(other._values())) for one, other in [(stored._unwatched(), mine)]]
        pairs += [(_lines(stored.base, BASE), _lines(mine.base, BASE))]
        pairs += [(_lines(dump_space(stored.space), SPACE), _lines(dump_space(mine.space), SPACE))]
        return [
            f"{name} = {there.get(name)!r} there, {here.get(name)!r} here"
            for there, here in pairs
            for name in dict.fromkeys([*there, *here])
            if there.get(name) != here.get(name)
        ]

    def _unwatched(self) -> "SweepFolder":
        """This sweep without overrides that say who watches it."""
        return replace(self, overrides=tuple(x for x in self.overrides if not x.startswith("tracking.")))


def open_sweep(path: Path) -> SweepFolder:
    """The sweep in the folder `path`.

    Raises:
        InputError: there is none, or its files were altered.
    """
    file = path / CONFIG
    try:
        values = read_yaml(file).resolved() if _is_marked(file) else None
    except InputError as error:
        raise InputError(f"{path} holds no sweep: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no sweep: {file} does not begin with {FIRST_LINE!r}.")
    base = path / BASE
    try:
        return SweepFolder(
            path=path, job=values["job"], name=values["space"], seed_field=values["seed_field"], seed=values["seed"],
            space=parse_space(read_document(path / SPACE), str(path / SPACE)),
            options=SweepOptions.model_validate(values["sweep"]), overrides=tuple(values["overrides"]),
            base=read_document(base) if base.exists() else "",
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} was altered: {error}.") from None


def is_sweep(path: Path) -> bool:
    """Whether the folder `path` holds a sweep."""
    try:
        return (path / CONFIG).is_file() and _is_marked(path / CONFIG)
    except InputError:  # no text
        return False


def _is_marked(file: Path) -> bool:
    """Whether the file begins as the config of a sweep does.

    Raises:
        InputError: it holds no text.
    """
    return read_document(file).startswith(f"{FIRST_LINE}\n")


def _lines(text: str, name: str) -> dict[str, str]:
    return {f"{name}:{number}": line for number, line in enumerate(text.splitlines(), start=1)}
