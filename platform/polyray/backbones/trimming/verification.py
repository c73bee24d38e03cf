"""Comparison of a trimmed backbone with the full one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polyray.backbones.backbone import Backbone
from polyray.backbones.trimming.texts import cut, readings
from polyray.errors import InputError

if TYPE_CHECKING:  # transformers takes half a second to load
    from transformers import PreTrainedTokenizerBase

TOLERANCE = 1e-6
"""Difference of outputs, relative to the largest: a product with fewer rows may be summed in another order."""


def check_pieces(
    full: "PreTrainedTokenizerBase", trimmed: "PreTrainedTokenizerBase", numbers: Sequence[int], files: Sequence[Path]
) -> None:
    """Refuse a trimmed tokenizer that cuts a line or a word of the texts otherwise than the full one.

    Args:
        numbers: of its pieces in the full vocabulary.

    Raises:
        InputError: it does; the message names the text.
    """
    for batch in readings(files):
        for text, expected, row in zip(batch, cut(full, batch), cut(trimmed, batch), strict=True):
            if expected != [numbers[number] for number in row]:
                pieces = [tokenizer.convert_ids_to_tokens(ids) for tokenizer, ids in ((full, expected), (trimmed, row))]
                raise InputError(
                    f"The tokenizer of {full.name_or_path} cannot be trimmed: it cuts {text!r:.80} into "
                    f"{pieces[0]!s:.200}, the trimmed one into {pieces[1]!s:.200}. Nothing was written."
                )


@torch.no_grad()
def outputs(backbone: Backbone, token_rows: Sequence[Sequence[int]], pieces: Tensor) -> list[Tensor]:
    """Hidden states [T, width] of an encoder, logits [T, pieces] of others, for each row of token numbers.

    Args:
        pieces: the pieces whose logits are asked for.
    """
    results = []
    for numbers in token_rows:
        ids = torch.tensor([numbers[: backbone.reach or None]])
        inputs = {"decoder_input_ids": backbone.decoder_tokens(ids)} if backbone.kind == "seq2seq" else {}
        output = backbone.model(input_ids=ids, **inputs)
        results.append(output.last_hidden_state[0] if backbone.kind == "encoder" else output.logits[0][:, pieces])
    return results


def check_outputs(expected: Sequence[Tensor], actual: Sequence[Tensor], texts: Sequence[str]) -> float:
    """The largest difference of outputs, relative to the largest output of a text where that is above 1.

    Raises:
        InputError: it is too large; the message names the text.
    """
    largest = 0.0
    for text, mine, theirs in zip(texts, expected, actual, strict=True):
        difference = float((mine - theirs).abs().max() / max(1.0, float(mine.abs().max())))
        if not difference <= TOLERANCE:
            raise InputError(
                f"The network cannot be trimmed: its outputs on {text!r:.80} differ by {difference:.1e}. Nothing was "
                "written."
            )
        largest = max(largest, difference)
    return largest
