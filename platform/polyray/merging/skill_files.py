"""Skills as sources of a merge: what they change of a model's tensors, a stretch at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.formats import is_file
from polyray.merging.model_files import Buffer, ModelFiles, SafetensorsFiles
from polyray.merging.safetensors_file import StoredTensor
from polyray.merging.stored_network import StoredNetwork
from polyray.modules.changes import Change, SparseChange
from polyray.modules.kinds import MODULES
from polyray.skills.card import CARD
from polyray.skills.delta import delta
from polyray.skills.skill import TENSORS, load_card, load_skill
from polyray.skills.sparse_delta import INDICES, KIND, SHAPE, VALUES, SparseDelta, check_entries, is_of_pooler


def is_skill(path: str | Path) -> bool:
    """Whether a skill lies in the folder."""
    return is_file(Path(path) / CARD)


class Changes(Protocol):
    """Changes by a skill, by the names of the network's parameters."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it changes."""

    def of(self, name: str) -> Change:
        """The change of one of them.

        Raises:
            InputError: its file is damaged.
        """

    def close(self) -> None:
        """Close the files."""


class SparseChanges:
    """Changes of a sparse delta, of which one parameter's at a time is in memory."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            InputError: the skill cannot be read.
        """
        self.folder = folder
        self._files = SafetensorsFiles(folder, [folder / TENSORS])
        self.names = tuple(name.removesuffix(f"/{SHAPE}") for name in self._files.tensors if name.endswith(f"/{SHAPE}"))
        self._latest: tuple[str, SparseChange] | None = None

    def of(self, name: str) -> SparseChange:
        """See `Changes`."""
        if self._latest is None or self._latest[0] != name:
            self._latest = None  # before the next is read
            support, values, shape = (self._whole(f"{name}/{item}") for item in (INDICES, VALUES, SHAPE))
            change = SparseChange(values=values, support=support, shape=tuple(shape.tolist()))
            check_entries(SparseDelta(changes={name: change}), str(self.folder))
            self._latest = name, change
        return self._latest[1]

    def _whole(self, name: str) -> Tensor:
        if name not in self._files.tensors:
            raise InputError(f"{self.folder} is no sparse delta: {name!r} is missing.")
        return self._files.read(name, 0, self._files.tensors[name].n_entries, Buffer())

    def close(self) -> None:
        """Close the file."""
        self._files.close()


class ModuleChanges:
    """Changes of a skill of modules, all of them in memory."""

    def __init__(self, changes: Mapping[str, Change]) -> None:
        self._changes = changes
        self.names = tuple(changes)

    def of(self, name: str) -> Change:
        """See `Changes`."""
        return self._changes[name]

    def close(self) -> None:
        """Nothing is open."""


class SkillFiles:
    """A skill's change of each tensor of a model: zeros where it changes nothing.

    Attributes:
        path: the skill's folder.
        tensors: those of the model.
        files: the skill's file.
        holds_changes: yes.
    """

    holds_changes = True

    def __init__(self, path: Path, base: StoredNetwork) -> None:
        """
        Raises:
            InputError: the skill is damaged, changes no weights, or another network's.
        """
        self.path = path
        self.files: tuple[Path, ...] = (path / TENSORS,)
        self.tensors: Mapping[str, StoredTensor] = base.files.tensors
        self._changes = _changes(path, base)
        self._parameters: dict[str, str] = {}  # of the network, by tensors of the files
        for name in self._changes.names:
            stored = base.tensor_of(name)
            if stored is None and is_of_pooler(name):
                continue
            if stored is None:
                raise InputError(f"The skill in {path} changes {name!r}, which {base.files.path} lacks.")
            if stored in self._parameters:
                raise InputError(f"The skill in {path} changes {name} and {self._parameters[stored]}, one weight.")
            self._parameters[stored] = name

    def read(self, name: str, start: int, stop: int, buffer: Buffer) -> Tensor:
        """Entries `start` to `stop` of the flattened change, in fp32.

        Raises:
            InputError: the skill's file is damaged, or the change is of another shape than the tensor.
        """
        stretch = buffer.room((stop - start) * 4).view(torch.float32)
        if name not in self._parameters:
            return stretch.zero_()
        change, shape = self._changes.of(self._parameters[name]), self.tensors[name].shape
        if tuple(change.shape) != shape:
            raise InputError(
                f"The skill in {self.path} changes {name} {list(change.shape)}; it is {list(shape)} there."
            )
        return change.copy_stretch(start, stop, stretch)

    def close(self) -> None:
        """Close the skill's file."""
        self._changes.close()


class ChangedFiles:
    """A model with skills added to it.

    Attributes:
        path, tensors: those of the model.
        files: the model's and the skills'.
        holds_changes: no.
    """

    holds_changes = False

    def __init__(self, model: ModelFiles, skills: list[SkillFiles]) -> None:
        self.path, self.tensors = model.path, model.tensors
        self.files = (*model.files, *(file for skill in skills for file in skill.files))
        self._model, self._skills, self._buffer, self._sum = model, skills, Buffer(), Buffer()

    def read(self, name: str, start: int, stop: int, buffer: Buffer) -> Tensor:
        """Entries `start` to `stop` of the flattened sum, in fp32 where they are floating-point.

        Raises:
            InputError: a file cannot be read.
        """
        stretch = self._model.read(name, start, stop, buffer)
        if not stretch.is_floating_point():
            return stretch
        total = self._sum.room((stop - start) * 4).view(torch.float32).copy_(stretch)
        for skill in self._skills:
            total += skill.read(name, start, stop, self._buffer)
        return total

    def close(self) -> None:
        """Close the model's and the skills' files."""
        self._model.close()
        for skill in self._skills:
            skill.close()


def _changes(path: Path, base: StoredNetwork) -> Changes:
    kind = load_card(path).kind
    if kind == KIND:
        return SparseChanges(path)
    if not MODULES[kind].changes_weights:
        able = ", ".join([KIND, *(name for name, entry in MODULES.items() if entry.changes_weights)])
        raise InputError(
            f"The skill in {path} is made of {kind} modules, which change outputs, not weights, so no merge of weights "
            f"can hold it; skills that can be merged: {able}."
        )
    return ModuleChanges(delta(load_skill(path), base.network))
