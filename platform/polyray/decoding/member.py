"""A network that takes part in the decoding of another one, with a cache of keys and values of its own."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from polyray.backbones import Backbone
from polyray.backbones.text import Tokens


class Member(Protocol):
    """A network that takes part in decoding: one of its own, or skills on the backbone of another."""

    @property
    def backbone(self) -> Backbone:
        """Its backbone."""

    @property
    def in_force(self) -> Callable[[], AbstractContextManager[object]]:
        """Makes the block in which its backbone computes as this member."""


class CachedMember:
    """The next token's logits of a member for sequences that grow, each computed from the newest token and a cache.

    One is for one batch of inputs. Rows of a batch may be told apart into several (beams), which may change places and
    replace each other from one token to the next.
    """

    def __init__(self, member: Member, inputs: Tokens) -> None:
        self._member, self._inputs = member, inputs
        self._mask, self._ids = inputs.mask, inputs.ids[:, :0]
        self._cache: Any = None
        self._encoded: Any = None

    @torch.no_grad()
    def logits(self, ids: Tensor) -> Tensor:
        """Logits [R, V] of the token behind the sequences ids [R, L], which are those of the last call, grown.

        R is a multiple of the number of inputs, whose rows stand together; of a decoder ids are what it has written, of
        a causal backbone the input, too.
        """
        model: Any = self._member.backbone.model
        with self._member.in_force():
            is_first = self._cache is None
            if is_first:
                self._begin(len(ids) // len(self._inputs.ids))
            else:
                self._reorder(ids)
            n_new = ids.shape[1] - self._ids.shape[1]
            prepared = model.prepare_inputs_for_generation(
                ids, next_sequence_length=n_new, past_key_values=self._cache, use_cache=True,
                is_first_iteration=is_first, **self._arguments(ids),
            )  # fmt: skip
            output = model(**prepared, return_dict=True)
        self._cache, self._ids = output.past_key_values, ids
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def _begin(self, n_rows: int) -> None:
        """Repeat the inputs for the rows of each, and encode them where there is an encoder."""
        backbone, inputs = self._member.backbone, self._inputs
        if not backbone.continues:
            encoder: Any = backbone.model.get_encoder()
            encoded = encoder(input_ids=inputs.ids, attention_mask=inputs.mask, return_dict=True)
            encoded["last_hidden_state"] = encoded["last_hidden_state"].repeat_interleave(n_rows, 0)
            self._encoded = encoded
        self._mask = inputs.mask.repeat_interleave(n_rows, 0)

    def _arguments(self, ids: Tensor) -> dict[str, Any]:
        """Mask and positions of the sequences, or the encoded inputs."""
        backbone = self._member.backbone
        if not backbone.continues:
            return {"attention_mask": self._mask, "encoder_outputs": self._encoded}
        grown = ids.shape[1] - self._mask.shape[1]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(ids), grown)], 1)
        arguments = {"attention_mask": self._mask}
        if "position_ids" in inspect.signature(backbone.model.forward).parameters:
            arguments["position_ids"] = (self._mask.cumsum(1) - 1).clamp_min(0)
        return arguments

    def _reorder(self, ids: Tensor) -> None:
        """Bring the cache into the order of the rows that the sequences have grown from."""
        n_inputs, length = len(self._inputs.ids), self._ids.shape[1]
        before, after = (x.view(n_inputs, -1, length) for x in (self._ids, ids[:, :length]))
        grown_from = (after.unsqueeze(2) == before.unsqueeze(1)).all(-1)  # [B, R / B, R / B]
        assert bool(grown_from.any(-1).all()), "a sequence that did not grow out of those of the last call"
        n_rows = before.shape[1]
        first = n_rows * torch.arange(n_inputs, device=ids.device).unsqueeze(1)
        order = (first + grown_from.int().argmax(-1)).flatten()
        if not torch.equal(order, torch.arange(len(ids), device=ids.device)):
            self._cache.reorder_cache(order)
