"""Proximal policy optimisation (Schulman et al. 2017) over whole arrays: environments x steps."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


def gae(
    rewards: Tensor, values: Tensor, dones: Tensor, last_values: Tensor, discount: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, [B, T] each (generalised advantage estimation, Schulman et al. 2016, Eq. 16).

    rewards, values [B, T]; dones bool [B, T], the episode ends with the step; last_values [B], of what follows the last
    step. delta_t = r_t + discount * V_t+1 - V_t, A_t = delta_t + discount * lam * A_t+1, where V_t+1 and A_t+1 are 0
    after an end; the returns are A + V.

    A time limit counts as an end, as in BabyAI: the reward 1 - 0.9 n / n_max makes the limit part of the task, and a
    policy that runs into it has failed. Whoever sees limits as interruptions leaves them out of `dones` and adds
    discount * V of the final observation to the reward of that step.
    """
    going = (~dones).to(values.dtype)
    following = torch.cat([values[:, 1:], last_values[:, None]], 1)
    deltas = rewards + discount * following * going - values
    decay = discount * lam * going
    advantages = torch.empty_like(deltas)
    carried = torch.zeros_like(last_values)
    for step in reversed(range(deltas.shape[1])):
        carried = torch.addcmul(deltas[:, step], decay[:, step], carried)
        advantages[:, step] = carried
    return advantages, advantages + values


@dataclass(frozen=True, kw_only=True, eq=False)
class Experience:
    """What a rollout says of the frames of a minibatch, [B, T] each.

    actions int64, logp (of those actions) and values as the acting policy gave them; advantages and returns of `gae`.
    Values and returns are in one unit, the critic's own (`ValueNorm.normalise`, if there is one).
    """

    actions: Tensor
    logp: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """What the loss is made of; the defaults are BabyAI's."""

    clip: float = 0.2  # of the probability ratio, and of how far a value moves from the acting critic's
    value: float = 0.5  # of the value loss
    entropy: float = 0.01  # of the entropy bonus


class Losses(NamedTuple):
    """`total` to minimise; the rest are means over the minibatch, to report, without gradient."""

    total: Tensor
    policy: Tensor  # clipped surrogate, negated
    value: Tensor  # clipped squared error
    entropy: Tensor
    kl: Tensor  # approximate KL divergence of the acting policy from this one
    clipped: Tensor  # share of frames whose ratio lies outside the clip
    explained: Tensor  # variance of the returns that the values explain: 1 all, 0 none


def ppo_loss(logits: Tensor, values: Tensor, experience: Experience, coefficients: Coefficients) -> Losses:
    """Clipped surrogate + value loss - entropy bonus: logits [B, T, actions], values [B, T] of the policy as it is now.

    policy: -mean min(ratio A, clip(ratio) A), ratio = exp(log p - log p_acting) (Schulman et al. 2017, Eq. 7). value:
    mean max((V - R)^2, (V_acting + clip(V - V_acting) - R)^2), as torch-ac and BabyAI have it. kl: mean(ratio - 1 -
    log ratio), never negative (Schulman 2020, "Approximating KL Divergence").
    """
    clip = coefficients.clip
    logs = logits.log_softmax(-1)
    change = logs.gather(-1, experience.actions.unsqueeze(-1)).squeeze(-1) - experience.logp
    ratio = change.exp()
    advantages = experience.advantages
    policy = -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()
    near = experience.values + (values - experience.values).clamp(-clip, clip)
    value = torch.max((values - experience.returns).square(), (near - experience.returns).square()).mean()
    entropy = -(logs.exp() * logs).sum(-1).mean()
    total = policy + coefficients.value * value - coefficients.entropy * entropy
    with torch.no_grad():
        kl = (ratio - 1 - change).mean()
        clipped = ((ratio - 1).abs() > clip).to(ratio.dtype).mean()
        explained = explained_variance(values, experience.returns)
    return Losses(total, policy.detach(), value.detach(), entropy.detach(), kl, clipped, explained)


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns), a scalar; 0 where the returns do not vary."""
    variance = returns.var(correction=0)
    return torch.where(variance > 0, 1 - (returns - values).var(correction=0) / variance, 0.0)


class ValueNorm(nn.Module):
    """Mean and standard deviation of the returns seen so far, so that the critic learns numbers of size one.

    Each update keeps the share `memory` of what was known (van Hasselt et al. 2016, as Yu et al. 2022 use it for PPO);
    what zeros at the start would add is taken out. Saved with the policy's state; nothing is trained.
    """

    def __init__(self, memory: float = 0.99) -> None:
        super().__init__()
        self.memory = memory
        self.mean_so_far: Tensor
        self.square_so_far: Tensor
        self.weight: Tensor
        for name in ("mean_so_far", "square_so_far", "weight"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, returns: Tensor) -> None:
        """Take in the returns of a rollout, of any shape."""
        seen = returns.double()
        self.mean_so_far.lerp_(seen.mean(), 1 - self.memory)
        self.square_so_far.lerp_(seen.square().mean(), 1 - self.memory)
        self.weight.lerp_(torch.ones_like(self.weight), 1 - self.memory)

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, 0 and 1 before the first update; a deviation below 0.01 counts as 0.01."""
        if not self.weight:
            return torch.zeros_like(like[..., :0].sum()), torch.ones_like(like[..., :0].sum())
        mean = self.mean_so_far / self.weight
        deviation = (self.square_so_far / self.weight - mean.square()).clamp(min=1e-4).sqrt()
        return mean.to(like.dtype), deviation.to(like.dtype)

    def normalise(self, returns: Tensor) -> Tensor:
        """Returns in the critic's unit."""
        mean, deviation = self._scale(returns)
        return (returns - mean) / deviation

    def denormalise(self, values: Tensor) -> Tensor:
        """The critic's values in the unit of rewards."""
        mean, deviation = self._scale(values)
        return values * deviation + mean
