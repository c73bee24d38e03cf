"""Proximal policy optimisation (Schulman et al. 2017) over whole arrays: environments x steps."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


def gae(
    rewards: Tensor, values: Tensor, dones: Tensor, last_values: Tensor, discount: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, [B, T] each, by generalised advantage estimation (Schulman et al. 2016, Eq. 16).

    delta_t = r_t + discount * V_t+1 - V_t, A_t = delta_t + discount * lam * A_t+1, where V_t+1 and A_t+1 are 0 after an
    end; the returns are A + V.

    A time limit counts as an end, as in BabyAI: the reward 1 - 0.9 n / n_max makes the limit part of the task, and a
    policy that runs into it has failed. To treat limits as interruptions, leave them out of `dones` and add discount *
    V of the final observation to the reward of that step.

    Args:
        rewards, values: [B, T].
        dones: bool [B, T], the episode ends with the step.
        last_values: [B], value of the state after the last step.
        discount: worth of a reward one step later, in (0, 1].
        lam: in [0, 1]; 0 trusts the critic, 1 the rewards.
    """
    continues = (~dones).to(values.dtype)
    next_values = torch.cat([values[:, 1:], last_values[:, None]], 1)
    deltas = rewards + discount * next_values * continues - values
    decay = discount * lam * continues
    advantages = torch.empty_like(deltas)
    advantage = torch.zeros_like(last_values)
    for step in reversed(range(deltas.shape[1])):
        advantage = torch.addcmul(deltas[:, step], decay[:, step], advantage)
        advantages[:, step] = advantage
    return advantages, advantages + values


def standardise(x: Tensor) -> Tensor:
    """Shift and scale `x` to mean 0 and standard deviation 1 over all its entries: (x - mean) / (deviation + 1e-8)."""
    return (x - x.mean()) / (x.std() + 1e-8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Experience:
    """Frames of a minibatch as a rollout recorded them, [B, T] each.

    actions int64, their log-probabilities `logp` and values are the acting policy's; advantages and returns those of
    `gae`. Values and returns are in one unit, the critic's own (`ValueNorm.normalise`, if there is one).
    """

    actions: Tensor
    logp: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


@dataclass(frozen=True, kw_only=True)
class Coefficients:
    """Clip of the loss and weights of its terms.

    Args:
        clip: bound on |ratio of probabilities - 1|, and on how far a value moves from the acting critic's.
        value: weight of the value loss.
        entropy: weight of the entropy bonus.
    """

    clip: float
    value: float
    entropy: float


class Losses(NamedTuple):
    """Scalars of a minibatch: `total` to minimise, and means over frames to report, without gradient."""

    total: Tensor
    policy: Tensor  # clipped surrogate, negated
    value: Tensor  # clipped squared error
    entropy: Tensor
    kl: Tensor  # approximate KL divergence of the acting policy from this one
    clipped: Tensor  # share of frames whose ratio lies outside the clip
    explained: Tensor  # variance of the returns that the values explain: 1 all, 0 none


def ppo_loss(logits: Tensor, values: Tensor, experience: Experience, coefficients: Coefficients) -> Losses:
    """Clipped surrogate + value loss - entropy bonus of the present policy on a minibatch.

    policy: -mean min(ratio A, clip(ratio) A), ratio = exp(log p - log p_acting) (Schulman et al. 2017, Eq. 7).
    value: mean max((V - R)^2, (V_acting + clip(V - V_acting) - R)^2), as in torch-ac and BabyAI.
    kl: mean(ratio - 1 - log ratio), never negative (Schulman 2020, "Approximating KL Divergence").

    Args:
        logits: [B, T, actions], of the present policy.
        values: [B, T], of the present critic.
        experience: the minibatch.
        coefficients: clip and weights.
    """
    clip = coefficients.clip
    logs = logits.log_softmax(-1)
    log_ratio = logs.gather(-1, experience.actions.unsqueeze(-1)).squeeze(-1) - experience.logp
    ratio = log_ratio.exp()
    advantages = experience.advantages
    policy = -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()
    clipped_values = experience.values + (values - experience.values).clamp(-clip, clip)
    value = torch.max((values - experience.returns).square(), (clipped_values - experience.returns).square()).mean()
    entropy = -(logs.exp() * logs).sum(-1).mean()
    total = policy + coefficients.value * value - coefficients.entropy * entropy
    with torch.no_grad():
        kl = (ratio - 1 - log_ratio).mean()
        clipped = ((ratio - 1).abs() > clip).to(ratio.dtype).mean()
        explained = explained_variance(values, experience.returns)
    return Losses(total, policy.detach(), value.detach(), entropy.detach(), kl, clipped, explained)


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns), a scalar; 0 where the returns do not vary."""
    variance = returns.var(correction=0)
    return torch.where(variance > 0, 1 - (returns - values).var(correction=0) / variance, 0.0)


class ValueNorm(nn.Module):
    """Running mean and standard deviation of the returns, so that the critic learns numbers of size one.

    Exponential averages of the returns and their squares with weight `decay` on the past (van Hasselt et al. 2016, as
    Yu et al. 2022 use it for PPO), corrected for their start at zero. Buffers only; nothing is trained.
    """

    def __init__(self, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.mean_so_far: Tensor
        self.square_so_far: Tensor
        self.weight: Tensor
        for name in ("mean_so_far", "square_so_far", "weight"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, returns: Tensor) -> None:
        """Add the returns of a rollout, of any shape, to the averages."""
        returns = returns.double()
        self.mean_so_far.lerp_(returns.mean(), 1 - self.decay)
        self.square_so_far.lerp_(returns.square().mean(), 1 - self.decay)
        self.weight.lerp_(torch.ones_like(self.weight), 1 - self.decay)

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, 0 and 1 before the first update; a deviation below 0.01 counts as 0.01."""
        if not self.weight:
            return like.new_zeros(()), like.new_ones(())
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
