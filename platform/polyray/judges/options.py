"""Options of scoring responses."""

from typing import Literal

from pydantic import Field

from polyray.config import Section
from polyray.judges.bertscore import BertScoreOptions
from polyray.judges.critic import CriticOptions
from polyray.judges.q2.networks import Q2Options


class ScoreResponsesOptions(Section):
    """Metrics of responses, and how sure they are."""

    metrics: tuple[str, ...] = ()
    """Metrics by name; empty: all for which there are references, knowledge and networks."""
    case: bool = True
    """Coverage, density and LCS: upper and lower case differ."""
    snippets: Literal["best", "joined"] = "best"
    """A response with several snippets of knowledge is compared with each, and the one that is best for it counts, for
    each metric by itself; or with all of them as one text."""
    bertscore: BertScoreOptions = BertScoreOptions()
    """BERTScore against references (BERTScore, and -P, -R) and against knowledge (BERT-F1)."""
    critic: CriticOptions = CriticOptions()
    """Faithfulness critic: share of unfaithful responses (Critic), mean probability of it
    (Critic-P); lower is better."""
    q2: Q2Options = Q2Options()
    """Q2 against knowledge; Q2-F1 compares answers by their words alone."""
    draws: int = Field(1000, ge=1)
    """Samples of an interval, and draws of a paired test."""
    share: float = Field(0.95, gt=0, lt=1)
    """Share of the samples that an interval holds."""
    seed: int = 0
    """Seed of these draws."""
