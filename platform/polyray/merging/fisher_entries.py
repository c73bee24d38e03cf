"""Fisher information at the entries that sparse skills change."""

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from polyray.errors import InputError
from polyray.merging.model_files import Buffer, ModelFiles, open_model
from polyray.merging.recipe import MergeRecipe
from polyray.skills.sparse_delta import VALUES


class FisherEntries:
    """Files of Fisher information of the base and of the parts, open inside a `with` block."""

    def __init__(self, recipe: MergeRecipe) -> None:
        self._recipe = recipe
        self._stack = ExitStack()
        self._base: ModelFiles | None = None
        self._parts: list[ModelFiles] = []

    def __enter__(self) -> Self:
        """Open the files that the method reads.

        Raises:
            InputError: one cannot be read.
        """
        method = self._recipe.merge.method
        if method.needs_fisher:
            self._parts = [self._stack.enter_context(open_model(Path(part.fisher))) for part in self._recipe.parts]
            if method.needs_base:
                self._base = self._stack.enter_context(open_model(Path(self._recipe.base_fisher)))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def of_base(self, name: str, indices: Tensor) -> Tensor | None:
        """The base's Fisher information [k] at entries of a parameter; None: the method reads none.

        Raises:
            InputError: the file lacks the parameter.
        """
        return None if self._base is None else _entries(self._base, name, indices, None)

    def of_part(self, number: int, name: str, indices: Tensor, support: Tensor | None) -> Tensor | None:
        """A part's Fisher information [k] at entries of a parameter; None: the method reads none.

        It is of the whole network, or of the skill's own entries; others, which the skill does not change, have 0.

        Args:
            support: the skill's own entries; None: it does not change the parameter.

        Raises:
            InputError: the file lacks the parameter.
        """
        return _entries(self._parts[number], name, indices, support) if self._parts else None


def _entries(files: ModelFiles, name: str, indices: Tensor, support: Tensor | None) -> Tensor:
    entries = f"{name}/{VALUES}"
    if name in files.tensors:
        return _whole(files, name)[indices.long()]
    if entries not in files.tensors and any(key.endswith(f"/{VALUES}") for key in files.tensors) and support is None:
        return torch.zeros(len(indices))
    if entries not in files.tensors or support is None or files.tensors[entries].shape != support.shape:
        raise InputError(f"{files.path} does not fit: it has no Fisher information of the entries of {name}.")
    information = torch.zeros(len(indices))
    information[torch.searchsorted(indices, support)] = _whole(files, entries)
    return information


def _whole(files: ModelFiles, name: str) -> Tensor:
    return files.read(name, 0, files.tensors[name].n_entries, Buffer()).float()
