"""All that decides what Quark trains, as one config."""

from collections.abc import Mapping

from pydantic import Field

from polyray.config import Section
from polyray.decoding import DecodingOptions
from polyray.decoding.quark import reward_token
from polyray.training.tuning.recipe import TuningRecipe


class DrawOptions(DecodingOptions):
    """Drawing of responses in a round."""

    sample: bool = True
    """Draw tokens instead of searching."""
    top_k: int | None = Field(0, ge=0)
    """Draw among so many of the likeliest tokens; 0: among all."""
    top_p: float | None = Field(1.0, gt=0, le=1)
    """Draw among the likeliest tokens that have this probability together (nucleus sampling)."""
    batch: int = Field(64, ge=1)
    """Inputs at once."""
    n: int = Field(0, ge=0)
    """Inputs that are answered in a round, drawn anew for each; 0: all of the training data."""


class QuarkOptions(Section):
    """Rewards, rounds and the loss."""

    reward: str = "Knowledge-F1"
    """Metric of responses that rewards one: see [respond](respond.md)."""
    quantiles: int = Field(5, ge=2)
    """Classes of reward, each with a token: <reward-1> for the lowest ..."""
    every: int = Field(500, ge=1)
    """Updates between two rounds in which responses are drawn and all of the pool is sorted anew."""
    kl: float = Field(0.05, ge=0)
    """Weight of the divergence from the network as it was."""
    entropy: float = Field(0.06, ge=0)
    """Weight of the entropy, which is to be large."""
    draw: DrawOptions = DrawOptions()
    """Drawing of responses."""

    @property
    def best(self) -> str:
        """The token that asks for the highest rewards."""
        return reward_token(self.quantiles)


class QuarkRecipe(TuningRecipe):
    """Train one skill by Quark on responses that it draws itself, sorted by their reward."""

    quark: QuarkOptions = QuarkOptions()
    """Rewards, rounds and the loss."""

    def unread(self) -> Mapping[str, str]:
        """Fields of other trainings of skills."""
        return dict.fromkeys(("sources", "heads", "freeze_decoder"), "Quark learns from responses that it draws")
