"""Continuations that a network writes, by transformers' generation."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.backbones.text import Tokens, padded
from polyray.decoding.options import DecodingOptions

Processor = Callable[[Tensor, Tensor], Tensor]
"""Called with the tokens so far [R, L] and the scores of the next one [R, V]; it gives other scores [R, V]."""


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """Tokens that a network wrote, up to the first end at most.

    score: log-likelihood over the number of tokens to the power of the length penalty; 0 without beams.
    """

    tokens: tuple[int, ...]
    score: float


def inputs_of(backbone: Backbone, rows: Sequence[Sequence[int]]) -> Tokens:
    """Inputs side by side on the backbone's device, padded on the side where no answer follows."""
    read, device = padded(rows, backbone.text.pad, left=backbone.continues), device_of(backbone.network)
    return Tokens(read.ids.to(device), read.mask.to(device))


def continuations(
    backbone: Backbone, inputs: Tokens, options: DecodingOptions, max_tokens: int, *,
    processors: Sequence[Processor] = (), n_best: int = 1,
) -> list[list[Continuation]]:  # fmt: skip
    """The `n_best` continuations of each input, best first; draws come from torch's generator (see `drawing`).

    Args:
        max_tokens: of a continuation.
        processors: change the scores of the next token; repeats are ruled out afterwards, and tokens drawn.
        n_best: at most the number of beams.
    """
    output: Any = backbone.model.generate(  # type: ignore[operator]
        input_ids=inputs.ids, attention_mask=inputs.mask, max_new_tokens=max_tokens,
        pad_token_id=backbone.text.pad, eos_token_id=backbone.text.eos, num_return_sequences=n_best,
        return_dict_in_generate=True, output_scores=options.beams > 1,
        **{**_arguments(options), **_processing(backbone, options, processors)},
    )  # fmt: skip
    n_skipped = inputs.ids.shape[1] if backbone.continues else 1  # the prompt, or the decoder's start
    sequences = output.sequences[:, n_skipped:].tolist()
    scores = output.sequences_scores.tolist() if options.beams > 1 else [0.0] * len(sequences)
    written = [Continuation(tokens=tuple(tokens), score=score) for tokens, score in zip(sequences, scores, strict=True)]
    return [written[start : start + n_best] for start in range(0, len(written), n_best)]


def _arguments(options: DecodingOptions) -> dict[str, Any]:
    """Arguments of transformers' `generate`; what is not set is left to the network's generation config."""
    arguments: dict[str, Any] = {
        "num_beams": options.beams, "do_sample": options.sample, "no_repeat_ngram_size": options.no_repeat_ngram,
        "length_penalty": options.length_penalty if options.beams > 1 else None,
    }  # fmt: skip
    if options.sample:
        arguments |= {"temperature": options.temperature, "top_k": options.top_k, "top_p": options.top_p}
    return {name: value for name, value in arguments.items() if value is not None}


def _processing(backbone: Backbone, options: DecodingOptions, processors: Sequence[Processor]) -> dict[str, Any]:
    """Arguments of `generate` under which `processors` see the scores of repeats, too, which it rules out first else.

    The probability that a beam loses to repeats would otherwise be shared among its other tokens.
    """
    if not processors:
        return {}
    from transformers import NoRepeatNGramLogitsProcessor

    size = options.no_repeat_ngram
    if size is None:
        size = backbone.model.generation_config.no_repeat_ngram_size
    last = [NoRepeatNGramLogitsProcessor(size)] if size else []
    return {"no_repeat_ngram_size": 0, "logits_processor": [*processors, *last]}


@contextmanager
def drawing(options: DecodingOptions, device: torch.device) -> Iterator[None]:
    """A block in which tokens are drawn by the seed of `options`; torch's generators are afterwards as before."""
    if not options.sample:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        yield
