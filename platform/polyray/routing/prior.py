"""The Indian Buffet Process prior over allocations."""

import math
from typing import Literal

import torch
from torch import Tensor


def ibp_log_prior(
    logits: Tensor, *, alpha: float = 5.0, columns: Literal["exact", "counts"] = "exact", centred: bool = True
) -> Tensor:
    """Mean over sites and heads of log p(Z | alpha) (Ponti et al. 2023, Eq. 4; Griffiths & Ghahramani 2011, Eq. 14).

    logits [..., tasks, skills] -> scalar:
    K log alpha - sum_h log K_h! - alpha H_T + sum_j [log (T - m_j)! + log (m_j - 1)! - log T!], with m_j the tasks of
    skill j, K_h the skills with the same column h, H_T the harmonic number. Z is sigmoid(logit) > 0.5 with a
    straight-through gradient; columns that nobody uses do not count.

    As written the prior's gradient pulls a column towards its nearer end, all tasks or none, because the formula is
    symmetric in m - 1 and T - m. `columns="counts"` adds log C(T, m_j), the number of columns with that count,
    which leaves -log m_j and so prefers few tasks per skill. `alpha` is the expected number of skills per task;
    `centred` subtracts the value at half-full columns.
    """
    tasks, skills = logits.shape[-2:]
    soft = logits.sigmoid()
    hard = (soft > 0.5).to(soft)
    used = hard.detach().sum(-2)  # [..., skills]
    m = (hard + (soft - soft.detach())).sum(-2).where(used > 0, 1)
    value = _columns(m, tasks, columns) * (used > 0)
    constant = math.log(alpha) * (used > 0).to(soft)
    prior = (value + constant).sum(-1) - _same_histories(hard) - alpha * _harmonic(tasks)
    if centred:
        half = torch.tensor(max(1.0, tasks / 2), dtype=soft.dtype, device=soft.device)
        centre = skills * (_columns(half, tasks, columns) + math.log(alpha))
        prior = prior - centre + alpha * _harmonic(tasks)
    return prior.mean()


def _columns(m: Tensor, tasks: int, form: str) -> Tensor:
    exact = torch.lgamma(tasks - m + 1) + torch.lgamma(m) - math.lgamma(tasks + 1)
    if form == "exact":
        return exact
    return exact + math.lgamma(tasks + 1) - torch.lgamma(m + 1) - torch.lgamma(tasks - m + 1)


def _same_histories(hard: Tensor) -> Tensor:
    """[...], sum over distinct used columns of log (how often they occur)!"""
    totals = []
    for table in hard.flatten(0, -3) if hard.dim() > 2 else hard[None]:
        columns = table.T[table.sum(0) > 0]
        counts = columns.unique(dim=0, return_counts=True)[1] if len(columns) else columns.new_zeros(0)
        totals.append(torch.lgamma(counts.to(hard.dtype) + 1).sum())
    stacked = torch.stack(totals)
    return stacked.view(hard.shape[:-2]) if hard.dim() > 2 else stacked[0]


def _harmonic(n: int) -> float:
    return math.fsum(1 / i for i in range(1, n + 1))
