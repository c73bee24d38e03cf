"""Options of decoding: greedy, beam search or sampling."""

from collections.abc import Mapping

from pydantic import Field

from polyray.config import Section


class DecodingOptions(Section):
    """The search for an answer token by token.

    A field that is not set is as the backbone's own generation config has it.
    """

    beams: int = Field(1, ge=1)
    """Beams of the search; 1 is greedy."""
    length_penalty: float | None = None
    """Power of its number of tokens by which the log-likelihood of a beam is divided: above 1 prefers long answers."""
    no_repeat_ngram: int | None = Field(None, ge=0)
    """No answer has the same tokens twice in a stretch of so many; 0: it may. Under a causal backbone the input counts
    as a part of the answer."""
    sample: bool = False
    """Draw tokens instead of searching."""
    temperature: float = Field(1.0, gt=0)
    """Temperature of the drawing."""
    top_k: int | None = Field(None, ge=0)
    """Draw among so many of the likeliest tokens; 0: among all."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Draw among the likeliest tokens that have this probability together (nucleus sampling)."""
    seed: int = Field(0, ge=0)
    """Seed of the drawing."""

    def unread(self) -> Mapping[str, str]:
        """Options of drawing where nothing is drawn, and of beams where there is one."""
        drawing = dict.fromkeys(("temperature", "top_k", "top_p", "seed"), "sample is false: nothing is drawn")
        beams = {"length_penalty": "beams is 1: nothing is compared"}
        return {**({} if self.sample else drawing), **(beams if self.beams == 1 else {})}
