"""BLEU of responses: words by sacrebleu, statistics that can be summed over any sample."""

from collections.abc import Sequence

import numpy as np

from polyray.metrics.measurement import Floats, Measurement

ORDER = 4  # words of the longest n-grams


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Measurement:
    """Corpus BLEU from 0 to 1, and the BLEU of each sentence, as sacrebleu counts them (13a tokens, with case).

    Papineni et al. 2002 (aclanthology.org/P02-1040); Post 2018 (aclanthology.org/W18-6319). Of a sentence
    the orders count that it has n-grams for, orders without a match are smoothed as NIST does.

    Args:
        references: for each prediction one or more, of which n-grams may match any.
    """
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415  (a tenth of a second that no other metric needs)

    scorer = BLEU(effective_order=True)
    sentences = [scorer.sentence_score(text, list(texts)) for text, texts in zip(predictions, references, strict=True)]
    statistics = [[*x.counts, *x.totals, x.sys_len, x.ref_len] for x in sentences]
    return Measurement(
        values=np.asarray([x.score / 100 for x in sentences]),
        statistics=np.asarray(statistics, dtype=np.float64).reshape(-1, 2 * ORDER + 2), total=corpus_bleu,
    )  # fmt: skip


def corpus_bleu(sums: Floats) -> Floats:
    """BLEU of samples from summed matches and n-grams of each order and the lengths of both sides: [..., 10] -> [...].

    0 where nothing matches or an order has no n-grams; the k-th order without a match counts 1 / 2^k matches.
    """
    matches, n_grams = sums[..., :ORDER], sums[..., ORDER : 2 * ORDER]
    length, reference_length = sums[..., -2], sums[..., -1]
    smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches == 0, axis=-1))
    precisions = smoothed / np.maximum(n_grams, 1.0)  # [..., 4]
    brevity = np.minimum(0.0, 1.0 - reference_length / np.maximum(length, 1.0))
    defined = (n_grams > 0).all(axis=-1) & (matches > 0).any(axis=-1)
    return np.asarray(np.where(defined, np.exp(brevity + np.log(precisions).mean(axis=-1)), 0.0))
