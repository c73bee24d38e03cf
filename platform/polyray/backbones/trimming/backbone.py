"""Trimming of a backbone's vocabulary: a folder that reads the texts as the full backbone does, or none."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from polyray.backbones.backbone import Backbone
from polyray.backbones.huggingface import load_backbone
from polyray.backbones.pretrained_text import PretrainedText
from polyray.backbones.trimming.network import load_whole, named_pieces, trim_network, write_network
from polyray.backbones.trimming.texts import text_files, usage
from polyray.backbones.trimming.tokenizer import document_of, select, trimmed_document, write_tokenizer
from polyray.backbones.trimming.verification import check_outputs, check_pieces, outputs
from polyray.errors import InputError
from polyray.files import writing
from polyray.skills.card import FullBackbone
from polyray.skills.vocabulary import read_rows, write_vocabulary

if TYPE_CHECKING:  # transformers takes half a second to load
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Trimmed:
    """Numbers of pieces and of parameters, before and after; the largest difference of outputs on the texts."""

    n_full_pieces: int
    n_pieces: int
    n_full_parameters: int
    n_parameters: int
    difference: float


def trim(name: str, texts: Sequence[Path], out: Path, *, n_frequent: int = 0, all_characters: bool = True) -> Trimmed:
    """Write the backbone called `name` with the pieces that the texts use, and few others, as the folder `out`.

    The tokenizer's special tokens and the pieces that the network's config names stay too. Before the folder is put in
    its place, both tokenizers read all the texts, and both networks some of them.

    Args:
        texts: UTF-8 files, and folders of files called *.txt.
        n_frequent: the most frequent pieces that stay in any case.
        all_characters: whether all pieces of one character stay, so that what could be spelled still can.

    Raises:
        InputError: a text cannot be read, the backbone cannot be loaded or trimmed, or the trimmed one differs.
        StorageError: the disk refused.
    """
    files = text_files(texts)
    full = load_backbone(name)
    tokenizer = _tokenizer(full)
    document = document_of(tokenizer, name)
    used = usage(tokenizer, files)
    numbers = select(document, used, n_frequent, all_characters, named_pieces(full.model.config))
    if numbers[-1] >= len(full.embeddings):
        raise InputError(f"{name!r} has {len(full.embeddings)} embeddings; its tokenizer numbers {numbers[-1]}.")
    rows = torch.tensor(numbers)
    expected = outputs(full, [full.text.encode(text) for text in used.probes], rows)
    with writing(out) as folder:
        write_tokenizer(tokenizer, trimmed_document(document, numbers), folder)
        sizes = _write_network(full, numbers, folder)
        trimmed = load_backbone(str(folder))
        check_pieces(tokenizer, _tokenizer(trimmed), numbers, files)
        actual = outputs(trimmed, [trimmed.text.encode(text) for text in used.probes], torch.arange(len(numbers)))
        difference = check_outputs(expected, actual, used.probes)
        report = Trimmed(
            n_full_pieces=len(full.embeddings), n_pieces=len(numbers), n_full_parameters=sizes[0],
            n_parameters=sizes[1], difference=difference,
        )  # fmt: skip
        write_vocabulary(folder, *_full_rows(full, rows), asdict(report))
    return report


def _tokenizer(backbone: Backbone) -> "PreTrainedTokenizerBase":
    if not isinstance(backbone.text, PretrainedText):
        raise InputError(f"{backbone.name} reads bytes: it has no pieces to trim.")
    return backbone.text.tokenizer


def _write_network(full: Backbone, numbers: Sequence[int], folder: Path) -> tuple[int, int]:
    """Write the network and its heads; its parameters before and after."""
    model, names = load_whole(full)
    before = model.num_parameters()
    trim_network(model, numbers)
    write_network(model, names, folder)
    return before, model.num_parameters()


def _full_rows(backbone: Backbone, rows: torch.Tensor) -> tuple[FullBackbone, torch.Tensor]:
    """The full backbone and the rows in it; if `backbone` is a trimmed one itself, those of the one it was made of."""
    first = backbone.trimmed_from
    if first is not None:
        return first, read_rows(Path(backbone.name), first)[rows]
    return FullBackbone(
        name=backbone.name, revision=backbone.revision, fingerprint=backbone.fingerprint,
        n_pieces=len(backbone.embeddings),
    ), rows  # fmt: skip
