"""Scores of masked language models."""

import math
from collections.abc import Sequence
from typing import Any, TypedDict


class Recovery(TypedDict):
    """Predictions of the masked tokens of one text: their number, the right ones, their mean loss in nats."""

    tokens: int
    hits: int
    loss: float


class MaskedAccuracy:
    """Share of masked tokens that are predicted right, over all texts; with their mean loss and perplexity."""

    name, scores = "Masked-ACC", "masked tokens"

    def score(self, predictions: Sequence[Recovery], examples: Sequence[Any]) -> dict[str, float]:
        """The share, the mean cross-entropy of a masked token in nats, and its exponential.

        Raises:
            ValueError: no token was masked, or there is not one prediction for each text.
        """
        if len(predictions) != len(examples):
            raise ValueError(
                f"Found {len(predictions)} predictions for {len(examples)} examples; expected one for each."
            )
        n_tokens = sum(recovery["tokens"] for recovery in predictions)
        if not n_tokens:
            raise ValueError("There is nothing to score: no masked token.")
        loss = sum(recovery["tokens"] * recovery["loss"] for recovery in predictions) / n_tokens
        hits = sum(recovery["hits"] for recovery in predictions)
        return {self.name: hits / n_tokens, "loss": loss, "perplexity": math.exp(loss)}
