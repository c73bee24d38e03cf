"""A folder of transformers as a network: its parameters' names, and the tensors in its files that hold them."""

import hashlib

import torch

from polyray.backbones.skeleton import load_skeleton
from polyray.errors import InputError
from polyray.formats import is_folder
from polyray.merging.model_files import Buffer, ModelFiles
from polyray.skills.sparse_delta import POOLER


class StoredNetwork:
    """The network of the model in `files`, whose parameters' values stay on the disk.

    Attributes:
        network: its layers; tensors have shapes and no values.
    """

    def __init__(self, files: ModelFiles) -> None:
        """
        Raises:
            InputError: the files are in no folder of transformers.
        """
        if not is_folder(files.path):
            raise InputError(
                f"{files.path}: skills need a base that is a folder of transformers, with its config.json."
            )
        self.files = files
        self.network = load_skeleton(str(files.path)).model
        aliases: dict[int, list[str]] = {}
        for name, parameter in self.network.named_parameters(remove_duplicate=False):
            aliases.setdefault(id(parameter), []).append(name)
        self._aliases = {name: names for names in aliases.values() for name in names}

    def tensor_of(self, name: str) -> str | None:
        """The name in the files of a tensor of the network, or of an alias of it; None: the files lack it."""
        prefix: str = f"{self.network.base_model_prefix}."
        for alias in (name, *self._aliases.get(name, ())):
            candidates: tuple[str, ...] = (alias, prefix + alias, alias.removeprefix(prefix))
            for candidate in candidates:
                if candidate in self.files.tensors:
                    return candidate
        return None

    def fingerprint(self) -> str:
        """The fingerprint that the network has as a backbone, read tensor by tensor.

        Raises:
            InputError: the files lack a tensor of the network.
        """
        digest, buffer = hashlib.sha256(), Buffer()
        for name in sorted(self.network.state_dict()):
            if name.startswith(POOLER):
                continue
            stored = self.tensor_of(name)
            if stored is None:
                raise InputError(f"{self.files.path} holds no weights for {name} of its network.")
            form = self.files.tensors[stored]
            tensor = self.files.read(stored, 0, form.n_entries, buffer)
            exact = tensor.float() if tensor.is_floating_point() else tensor
            digest.update(f"{name} {exact.dtype} {list(form.shape)}\n".encode())
            digest.update(exact.contiguous().view(torch.uint8).numpy().data)
        return digest.hexdigest()
