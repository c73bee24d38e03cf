"""tokenizer.json with fewer pieces, numbered anew."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyray.backbones.trimming.pieces import characters, most_frequent, needed_pieces, pieces_of, restricted
from polyray.backbones.trimming.texts import Usage
from polyray.errors import InputError
from polyray.files import write_file
from polyray.files.disk import Point, disk

if TYPE_CHECKING:  # transformers takes half a second to load
    from transformers import PreTrainedTokenizerBase

DOCUMENT, CONFIG = "tokenizer.json", "tokenizer_config.json"
KEPT_FILES = (DOCUMENT, CONFIG, "chat_template.jinja")
GENERIC = "TokenizersBackend"  # transformers' class that takes a tokenizer.json as it is
Document = Mapping[str, Any]
Numbers = Mapping[int, int]
"""Number in the full vocabulary -> number in the trimmed one."""


def document_of(tokenizer: "PreTrainedTokenizerBase", name: str) -> dict[str, Any]:
    """The content of the tokenizer's tokenizer.json.

    Raises:
        InputError: the tokenizer is none of the library tokenizers.
    """
    if not tokenizer.is_fast:
        raise InputError(f"{name!r} has no {DOCUMENT}: a {type(tokenizer).__name__} cannot be trimmed.")
    document: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return document


def select(document: Document, usage: Usage, n_frequent: int, all_characters: bool, named: Sequence[int]) -> list[int]:
    """The numbers of the pieces that a trimmed tokenizer keeps, ascending.

    They are the used ones, all that were added to the model's own (special tokens), those that the network's config
    names, the most frequent ones, and what any of them needs.

    Args:
        all_characters: also all pieces of one character, so that what could be spelled still can.

    Raises:
        InputError: tokenizers of this make cannot be trimmed.
    """
    model = document["model"]
    numbers = usage.numbers | most_frequent(model, n_frequent) | {token["id"] for token in document["added_tokens"]}
    if all_characters:
        numbers |= characters(model)
    existing = {*pieces_of(model), *(token["id"] for token in document["added_tokens"])}
    return sorted(needed_pieces(model, numbers | (existing & set(named)), usage.unknown_words))


def trimmed_document(document: Document, numbers: Sequence[int]) -> dict[str, Any]:
    """A tokenizer.json with the pieces `numbers` alone, ascending, which get the numbers from 0 on."""
    new = {number: index for index, number in enumerate(numbers)}
    pieces = pieces_of(document["model"])
    padding = document["padding"]
    return {
        **document,
        "model": restricted(document["model"], [number for number in numbers if number in pieces]),
        "added_tokens": [{**token, "id": new[token["id"]]} for token in document["added_tokens"]],
        "post_processor": _processor(document["post_processor"], new),
        "padding": padding and {**padding, "pad_id": new[padding["pad_id"]]},
    }


def write_tokenizer(tokenizer: "PreTrainedTokenizerBase", document: Document, folder: Path) -> None:
    """Write the tokenizer's files into a folder that is itself written whole, with `document` as its tokenizer.json.

    Raises:
        StorageError: the disk refused.
    """
    disk().fill(Point.CONTENT_WRITTEN, folder, tokenizer.save_pretrained)
    for file in list(folder.iterdir()):
        if file.name not in KEPT_FILES:  # vocabularies of older formats
            disk().remove(Point.FILE_REMOVED, file)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    config = {name: value for name, value in config.items() if name != "added_tokens_decoder"}
    config["tokenizer_class"] = GENERIC
    write_file(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    write_file(folder / DOCUMENT, json.dumps(document, ensure_ascii=False))


def _processor(processor: Document | None, new: Numbers) -> Document | None:
    """The part of a tokenizer that puts special tokens around a text, with new numbers."""
    return processor if processor is None else PROCESSORS[processor["type"]](processor, new)


def _template(processor: Document, new: Numbers) -> Document:
    tokens = processor["special_tokens"]
    renumbered = {name: {**token, "ids": [new[number] for number in token["ids"]]} for name, token in tokens.items()}
    return {**processor, "special_tokens": renumbered}


def _pair_of_tokens(processor: Document, new: Numbers) -> Document:
    numbered = {name: [processor[name][0], new[processor[name][1]]] for name in ("sep", "cls")}
    return {**processor, **numbered}


def _sequence(processor: Document, new: Numbers) -> Document:
    return {**processor, "processors": [_processor(inner, new) for inner in processor["processors"]]}


PROCESSORS: Mapping[str, Callable[[Document, Numbers], Document]] = {
    "TemplateProcessing": _template,
    "BertProcessing": _pair_of_tokens,
    "RobertaProcessing": _pair_of_tokens,
    "Sequence": _sequence,
    "ByteLevel": lambda processor, new: processor,
}
"""Kinds of that part in the library tokenizers."""
