"""A run or sweep as the user typed it: its config is checked, and its local files get names on the cluster."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyray.cluster.submission.local_files import LocalFiles, local_files
from polyray.config import Section, file_fields, file_lists, load_config
from polyray.errors import InputError
from polyray.formats import is_there
from polyray.runs.job import Job
from polyray.skills.inventory import load_inventory
from polyray.sweeps.options import read_options
from polyray.tune_spaces.loading import find_space, load_space

SKILLS = "skills"  # field of a config


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command `polyray run` or `polyray sweep`, without its folder.

    Attributes:
        kind: run or sweep.
        space: name or file of a sweep's space; empty: a run.
        words: overrides, as they were typed.
        fields: paths that the config names, by the dotted names of their fields.
        lists: values of the fields that name paths in lists.
        backbone: folder of the network under the skills that the config names; empty: it is none.
    """

    kind: str
    job: str
    space: str = ""
    words: Sequence[str] = ()
    config: Path | None = None
    fields: Mapping[str, str]
    lists: Mapping[str, Any] = field(default_factory=dict)
    backbone: str = ""

    def files(self, shared: Sequence[Path]) -> LocalFiles:
        """The local files that it reads; see `local_files`.

        Raises:
            InputError: one cannot be read, or the skills name their backbone by an absolute path that is not shared.
        """
        named = [*self.fields.values(), self.backbone, self.space, *([str(self.config)] if self.config else [])]
        files = local_files([path for path in named if path], shared)
        if self.backbone in files.renamed:
            raise InputError(
                f"The skills in {self.fields[SKILLS]} sit on the backbone in {self.backbone}, and their cards name "
                "this path: the nodes must have it there. If they have, say so by --shared FOLDER."
            )
        return files

    def arguments(self, files: LocalFiles) -> list[str]:
        """The command's words on the cluster, where `files` may be called otherwise."""
        there = files.renamed
        changed = {name: there[path] for name, path in self.fields.items() if path in there and "[" not in name}
        lists = {name: renamed(value, there) for name, value in self.lists.items()}
        changed |= {name: json.dumps(value) for name, value in lists.items() if value != self.lists[name]}
        words = [word for word in self.words if word.partition("=")[0] not in changed]
        words += [f"{name}={path}" for name, path in changed.items()]
        space = [there.get(self.space, self.space)] if self.space else []
        config = [] if self.config is None else ["--config", there.get(str(self.config), str(self.config))]
        return [self.kind, self.job, *space, *words, *config]


def run_command(job: str, entry: Job, words: Sequence[str], config: Path | None) -> Command:
    """The command `polyray run JOB WORDS`.

    Args:
        entry: the job called `job`.
        config: file with the job's config.

    Raises:
        InputError: the config is wrong.
    """
    read = load_config(entry.Config, config, words)
    return Command(
        kind="run", job=job, words=words, config=config, fields=file_fields(read), lists=file_lists(read),
        backbone=_backbone(read),
    )  # fmt: skip


def sweep_command(job: str, entry: Job, space: str, words: Sequence[str], config: Path | None) -> Command:
    """The command `polyray sweep JOB SPACE WORDS`.

    Args:
        entry, config: as for `run_command`.

    Raises:
        InputError: the config, the space or the sweep's options are wrong.
    """
    _, for_job = read_options(find_space(space), words)
    chosen = load_space(space, job, entry.Config, config, for_job)
    read = load_config(entry.Config, config, chosen.overrides(for_job))
    return Command(
        kind="sweep", job=job, space=space, words=words, config=config, fields=file_fields(read),
        lists=file_lists(read), backbone=_backbone(read),
    )  # fmt: skip


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Plain data with other texts in place of those that `names` has."""
    if isinstance(value, Mapping):
        return {key: renamed(below, names) for key, below in value.items()}
    if isinstance(value, list):
        return [renamed(below, names) for below in value]
    return names.get(value, value) if isinstance(value, str) else value


def _backbone(config: Section) -> str:
    """The folder of the network under the skills that `config` names; empty: it is none, or cannot be told."""
    skills = file_fields(config).get(SKILLS, "")
    if not skills or not is_there(Path(skills)):
        return ""
    try:
        name = load_inventory(Path(skills)).card.backbone.name
    except InputError:  # the job says what is wrong with the folder
        return ""
    return name if is_there(Path(name)) else ""
