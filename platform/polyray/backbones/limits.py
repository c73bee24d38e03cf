"""The numbers of tokens that a network can read and write."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:  # transformers' classes take a second to load
    from transformers import PreTrainedModel

TABLE = re.compile(r"wpe|(?:.*_)?(?:pos|positions?)(?:_emb.*)?")
"""Names of embeddings of positions; embeddings of distances, which any length has, are called otherwise."""
CONFIGURED = ("max_position_embeddings", "max_seq_len")
"""Fields of configs that limit a network without a table (rotary and ALiBi positions)."""
LOOK_AHEAD: Mapping[str, int] = {"prophetnet": 1}
"""Family -> positions behind its last token that the decoder looks up, to predict further tokens."""


def limits(model: "PreTrainedModel") -> tuple[int, int]:
    """Tokens that `model` reads at most, and tokens that a decoder of its own writes at most; 0 for no limit.

    A table of positions limits both, short of the rows before the first position: BART and OPT leave two rows free,
    RoBERTa, XLM-R, I-BERT, MPNet and ProphetNet begin behind the row of padding.
    """
    tables = {
        name: _positions(module) for name, module in model.named_modules()
        if TABLE.fullmatch(name.rpartition(".")[2]) and _is_table(module)
    }  # fmt: skip
    config = model.config.get_text_config()
    configured = [int(getattr(config, field, None) or 0) for field in CONFIGURED]
    of_decoder = {name for name in tables if model.config.is_encoder_decoder and "decoder" in name.split(".")}
    read = [tables[name] for name in tables if name not in of_decoder]
    written = [tables[name] - LOOK_AHEAD.get(config.model_type, 0) for name in of_decoder]
    return _least(read + configured), _least(written + configured) if model.config.is_encoder_decoder else 0


def _is_table(module: nn.Module) -> bool:
    """Whether the module is an embedding: torch's, or one of its own kind with the same attributes (I-BERT's)."""
    return "weight" in dict(module.named_parameters(recurse=False)) and "padding_idx" in vars(module)


def _positions(table: nn.Module) -> int:
    """Positions that a table has."""
    weight, padding = table.get_parameter("weight"), vars(table)["padding_idx"]
    first = vars(table).get("offset", 0 if padding is None else padding + 1)
    return len(weight) - int(first)


def _least(numbers: list[int]) -> int:
    return min((number for number in numbers if number), default=0)
