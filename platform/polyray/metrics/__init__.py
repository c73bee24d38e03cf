"""Scores of predicted texts against accepted answers, by the names that CrossFit gives them.

Every metric takes the predictions and, for each, its accepted answers (the first is the target) and returns one number:
1 is perfect, and no metric returns NaN. Ye et al. 2021 (arXiv:2104.08835), section 3 and appendix A.
"""

from collections.abc import Callable, Sequence

from polyray.metrics.classification import macro_f1, matthews_correlation
from polyray.metrics.correlation import pearson_correlation
from polyray.metrics.matching import accuracy, exact_match, qa_f1
from polyray.metrics.rouge import rouge_l

Metric = Callable[[Sequence[str], Sequence[Sequence[str]]], float]

METRICS: dict[str, Metric] = {
    "EM": exact_match,
    "ACC": accuracy,
    "QA-F1": qa_f1,
    "Classification-F1": macro_f1,
    "Rouge-L": rouge_l,
    "Matthew-Correlation": matthews_correlation,
    "Pearson-Correlation": pearson_correlation,
}

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "exact_match",
    "macro_f1",
    "matthews_correlation",
    "pearson_correlation",
    "qa_f1",
    "rouge_l",
]
