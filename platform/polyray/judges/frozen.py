"""Pretrained networks of a folder that score texts and are never trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from safetensors import SafetensorError

from polyray.backbones.backbone import longest_first
from polyray.errors import InputError
from polyray.skills.fingerprint import fingerprint
from polyray.skills.sparse_delta import POOLER
from polyray.training.worker import own_device

if TYPE_CHECKING:  # loaded with the first model: transformers' classes take a second
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONFIG = "config.json"


def label_names(frozen: "Frozen") -> dict[int, str]:
    """The name of each class of a classifier, by its number."""
    names = frozen.network.config.id2label or {}
    return {int(number): str(name) for number, name in names.items()}


@dataclass(eq=False, kw_only=True)
class Frozen:
    """A network with its tokenizer.

    Attributes:
        path: its folder.
        fingerprint: of the weights in its folder.
        n_cut: texts or pairs so far that were longer than they may be, and lost their last tokens.
    """

    path: str
    network: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    fingerprint: str
    n_cut: int = 0

    @classmethod
    def load(cls, folder: str, option: str, auto_class: str) -> Self:
        """The network of a folder that transformers wrote, on a GPU if there is one.

        Args:
            option: name of the option that gives the folder, for messages.
            auto_class: transformers' class that loads it, such as AutoModelForQuestionAnswering.

        Raises:
            InputError: it is no such folder, it cannot be loaded, or it lacks weights of the network.
        """
        import transformers

        if not (Path(folder) / CONFIG).is_file():
            raise InputError(
                f"{option}={folder}: expected a folder of transformers, with {CONFIG}; nothing is downloaded."
            )
        try:
            network, report = getattr(transformers, auto_class).from_pretrained(folder, output_loading_info=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            message = str(error).splitlines()[0]
            raise InputError(f"{option}={folder}: the network cannot be loaded: {message}") from None
        drawn = set(report["missing_keys"])  # a pooler that nothing reads differs from one loading to the next
        missing = sorted(key for key in drawn if POOLER not in key)
        if missing:
            raise InputError(
                f"{option}={folder} lacks {len(missing)} tensors of a network of {auto_class}, first {missing[0]!r}; "
                "they would be drawn at random. Give a folder that was trained for it."
            )
        network.requires_grad_(False)
        return cls(
            path=str(Path(folder).absolute()), network=network.eval().to(own_device()), tokenizer=tokenizer,
            fingerprint=fingerprint({key: x for key, x in network.state_dict().items() if key not in drawn}),
        )  # fmt: skip

    @property
    def record(self) -> dict[str, Any]:
        """The network as it stands beside its scores."""
        return {"path": self.path, "fingerprint": self.fingerprint, "cut": self.n_cut}

    def encode(self, texts: Sequence[tuple[str, ...]], max_length: int) -> list[dict[str, list[int]]]:
        """Tokens of single texts or of pairs, with special tokens; of longer ones the longest text is cut first."""
        encoded = []
        for text in texts:
            tokens = self.tokenizer(*text, truncation=True, max_length=max_length)
            if len(tokens["input_ids"]) == max_length:
                self.n_cut += len(self.tokenizer(*text, verbose=False)["input_ids"]) > max_length
            encoded.append(dict(tokens))
        return encoded

    def batches(
        self, encoded: Sequence[dict[str, list[int]]], size: int
    ) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
        """Indices and padded tensors of batches of similar length."""
        for indices in longest_first([len(tokens["input_ids"]) for tokens in encoded], size):
            padded = self.tokenizer.pad([encoded[index] for index in indices], return_tensors="pt")
            yield indices, {name: tensor.to(self.network.device) for name, tensor in padded.items()}
