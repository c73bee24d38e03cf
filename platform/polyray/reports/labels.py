"""Names and orders of results, for pages and consoles alike."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

ROUTERS = {  # the names that Ponti et al. 2023 give them, in the order of its Table 1
    "shared": "SHARED", "private": "PRIVATE", "expert": "EXPERT", "hyperformer": "HYPERFORMER", "polytropon": "SKILLED",
}  # fmt: skip


def in_order(kinds: Iterable[str]) -> list[str]:
    """Kinds of routers in the paper's order, others behind."""
    names = list(kinds)
    return [kind for kind in ROUTERS if kind in names] + [kind for kind in names if kind not in ROUTERS]


def router_label(kind: str) -> str:
    """The paper's name of a router, its own where the paper has none."""
    return ROUTERS.get(kind, kind)


def own_metric(values: Mapping[str, Any]) -> tuple[str, float, str]:
    """A task's own metric, the first among its figures; its value in percent; the other figures as a text."""
    (metric, score), *details = values.items()
    return metric, 100 * score, ", ".join(f"{name} {value:.3g}" for name, value in details)


def few_shot_cell(values: Mapping[str, Any]) -> str:
    """Mean and standard deviation of a task's scores over few-shot splits, in percent."""
    return f"{100 * fmean(values['scores']):.1f} ± {100 * values['std']:.1f}"
