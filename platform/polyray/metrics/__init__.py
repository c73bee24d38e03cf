"""Scores of predictions, by name; for texts the names that CrossFit gives them.

1 is perfect, and no metric returns NaN. Ye et al. 2021 (arXiv:2104.08835), section 3 and appendix A.
"""

from polyray.metrics.classification import macro_f1, matthews_correlation
from polyray.metrics.correlation import pearson_correlation
from polyray.metrics.labels import LabelAccuracy, LabelF1
from polyray.metrics.masked import MaskedAccuracy, Recovery
from polyray.metrics.matching import accuracy, exact_match, qa_f1
from polyray.metrics.metric import AnswerMetric, Metric
from polyray.metrics.responses import OVERLAP
from polyray.metrics.rouge import rouge_l
from polyray.metrics.spans import SpanF1, SpanMatch
from polyray.metrics.tags import EntityF1, TagAccuracy, entities
from polyray.metrics.trees import Attachment

METRICS: dict[str, Metric] = {
    "EM": AnswerMetric(name="EM", function=exact_match),
    "ACC": AnswerMetric(name="ACC", function=accuracy),
    "QA-F1": AnswerMetric(name="QA-F1", function=qa_f1),
    "Classification-F1": AnswerMetric(name="Classification-F1", function=macro_f1),
    "Rouge-L": AnswerMetric(name="Rouge-L", function=rouge_l),
    "Matthew-Correlation": AnswerMetric(name="Matthew-Correlation", function=matthews_correlation),
    "Pearson-Correlation": AnswerMetric(name="Pearson-Correlation", function=pearson_correlation),
    "Entity-F1": EntityF1(),
    "Tag-ACC": TagAccuracy(),
    "Label-ACC": LabelAccuracy(),
    "Label-F1": LabelF1(),
    "Span-F1": SpanF1(),
    "Span-EM": SpanMatch(),
    "las": Attachment("las", "Share of words whose head and relation are right; with uas and both without roots."),
    "uas": Attachment("uas", "Share of words whose head is right; with las and both without roots."),
    "Masked-ACC": MaskedAccuracy(),
    **{metric.name: metric for metric in OVERLAP},
}

__all__ = [
    "METRICS",
    "AnswerMetric",
    "Metric",
    "Recovery",
    "accuracy",
    "entities",
    "exact_match",
    "macro_f1",
    "matthews_correlation",
    "pearson_correlation",
    "qa_f1",
    "rouge_l",
]
