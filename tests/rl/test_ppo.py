"""PPO's arithmetic: numbers worked by hand, laws, and plain Python loops."""

import math

import pytest
import torch
from torch import Tensor

from polyray.rl.ppo import Coefficients, Experience, ValueNorm, explained_variance, gae, ppo_loss


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_advantages_of_two_steps_worked_by_hand() -> None:
    # delta_1 = 2 + 0.5 * 4 - 3 = 1; delta_0 = 1 + 0.5 * 3 - 2 = 0.5; A_1 = 1; A_0 = 0.5 + 0.5 * 0.8 * 1 = 0.9
    rewards, values = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 3.0]])
    advantages, returns = gae(rewards, values, torch.zeros(1, 2, dtype=torch.bool), torch.tensor([4.0]), 0.5, 0.8)
    assert torch.allclose(advantages, torch.tensor([[0.9, 1.0]]))
    assert torch.allclose(returns, torch.tensor([[2.9, 4.0]]))


def test_nothing_flows_back_over_the_end_of_an_episode() -> None:
    # the first step ends an episode: A_0 = 1 - 2 = -1, whatever follows
    rewards, values = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 3.0]])
    advantages, _ = gae(rewards, values, torch.tensor([[True, False]]), torch.tensor([4.0]), 0.5, 0.8)
    assert torch.allclose(advantages, torch.tensor([[-1.0, 1.0]]))


def test_with_lambda_one_advantages_are_discounted_returns_minus_values() -> None:
    rewards, values, last = draws(3, 7), draws(3, 7, seed=1), draws(3, seed=2)
    dones = draws(3, 7, seed=3) > 0.7
    advantages, returns = gae(rewards, values, dones, last, 0.9, 1.0)
    for row in range(3):
        following = float(last[row])
        for step in reversed(range(7)):
            following = float(rewards[row, step]) + 0.9 * (0.0 if dones[row, step] else following)
            assert math.isclose(float(returns[row, step]), following, rel_tol=1e-12)
            assert math.isclose(float(advantages[row, step]), following - float(values[row, step]), rel_tol=1e-9)


def test_advantages_equal_a_plain_loop() -> None:
    rewards, values, last = draws(3, 7), draws(3, 7, seed=1), draws(3, seed=2)
    dones = draws(3, 7, seed=3) > 0.7
    advantages, _ = gae(rewards, values, dones, last, 0.99, 0.95)
    for row in range(3):
        carried, following = 0.0, float(last[row])
        for step in reversed(range(7)):
            going = 0.0 if dones[row, step] else 1.0
            value = float(values[row, step])
            carried = float(rewards[row, step]) + 0.99 * following * going - value + 0.99 * 0.95 * going * carried
            following = value
            assert math.isclose(float(advantages[row, step]), carried, rel_tol=1e-9)


def experience_of(b: int = 2, t: int = 3) -> Experience:
    actions = torch.randint(4, (b, t), generator=torch.Generator().manual_seed(0))
    return Experience(
        actions=actions, logp=draws(b, t, seed=1) / 3 - 1.4, values=draws(b, t, seed=2), advantages=draws(b, t, seed=3),
        returns=draws(b, t, seed=4),
    )  # fmt: skip


def test_the_loss_equals_a_plain_loop_over_frames() -> None:
    experience, logits, values = experience_of(), draws(2, 3, 4, seed=5), draws(2, 3, seed=6)
    losses = ppo_loss(logits, values, experience, Coefficients(clip=0.2, value=0.5, entropy=0.01))
    surrogate = squares = entropy = divergence = outside = 0.0
    for row in range(2):
        for step in range(3):
            chances = [math.exp(x) for x in logits[row, step].tolist()]
            chances = [chance / sum(chances) for chance in chances]
            log_ratio = math.log(chances[experience.actions[row, step]]) - float(experience.logp[row, step])
            ratio, advantage = math.exp(log_ratio), float(experience.advantages[row, step])
            surrogate -= min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
            value, old, wanted = (float(x[row, step]) for x in (values, experience.values, experience.returns))
            near = old + min(max(value - old, -0.2), 0.2)
            squares += max((value - wanted) ** 2, (near - wanted) ** 2)
            entropy -= sum(chance * math.log(chance) for chance in chances)
            divergence += ratio - 1 - log_ratio
            outside += abs(ratio - 1) > 0.2
    found = [float(part) for part in losses[1:6]]
    assert found == pytest.approx([part / 6 for part in (surrogate, squares, entropy, divergence, outside)])
    assert float(losses.total) == pytest.approx((surrogate + 0.5 * squares - 0.01 * entropy) / 6)


def test_for_the_policy_that_acted_the_gradient_is_the_policy_gradient() -> None:
    logits = draws(2, 3, 4, seed=5).requires_grad_()
    plain = experience_of()
    logp = logits.detach().log_softmax(-1).gather(-1, plain.actions.unsqueeze(-1)).squeeze(-1)
    experience = Experience(
        actions=plain.actions, logp=logp, values=plain.values, advantages=plain.advantages, returns=plain.returns
    )
    losses = ppo_loss(logits, plain.values, experience, Coefficients(entropy=0.0))
    assert float(losses.kl) == 0.0 and float(losses.clipped) == 0.0
    own = logits.log_softmax(-1).gather(-1, plain.actions.unsqueeze(-1)).squeeze(-1)
    (wanted,) = torch.autograd.grad(-(own * plain.advantages).mean(), logits)
    assert torch.allclose(torch.autograd.grad(losses.total, logits)[0], wanted)


def test_a_clipped_frame_gives_no_gradient() -> None:
    # one action of two, taken with 0.9 now and 0.5 then: ratio 1.8 with a positive advantage is beyond the clip
    logits = torch.tensor([[[math.log(9.0), 0.0]]], requires_grad=True)
    one = torch.ones(1, 1)
    experience = Experience(
        actions=torch.zeros(1, 1, dtype=torch.long), logp=(one / 2).log(), values=one, advantages=one, returns=one
    )
    losses = ppo_loss(logits, one, experience, Coefficients(entropy=0.0))
    assert float(losses.policy) == pytest.approx(-1.2) and float(losses.clipped) == 1.0
    assert not torch.autograd.grad(losses.total, logits)[0].any()


@pytest.mark.parametrize(("values", "share"), [([1.0, 2.0, 3.0], 1.0), ([2.0, 2.0, 2.0], 0.0), ([3.0, 2.0, 1.0], -3.0)])
def test_explained_variance_by_hand(values: list[float], share: float) -> None:
    # Var(R) = 2/3; the residuals are 0, then R, then (-2, 0, 2) with variance 8/3
    assert float(explained_variance(torch.tensor(values), torch.tensor([1.0, 2.0, 3.0]))) == pytest.approx(share)


def test_returns_that_do_not_vary_have_nothing_to_explain() -> None:
    assert float(explained_variance(torch.tensor([1.0, 2.0]), torch.ones(2))) == 0.0


def test_normalised_returns_have_mean_zero_and_deviation_one() -> None:
    norm, returns = ValueNorm(), 3 + 5 * draws(40, 10)
    norm.update(returns)
    normal = norm.normalise(returns)
    assert torch.allclose(normal.mean(), torch.zeros_like(normal.mean()), atol=1e-9)
    assert torch.allclose(normal.std(correction=0), torch.ones_like(normal.mean()))
    assert torch.allclose(norm.denormalise(normal), returns)


def test_two_updates_weigh_as_memory_says() -> None:
    # memory 0.5: weights 1/4 and 1/2 of 3/4 known: mean (1 * 0.25 + 4 * 0.5) / 0.75 = 3
    norm = ValueNorm(memory=0.5)
    norm.update(torch.ones(4))
    norm.update(torch.full((4,), 4.0))
    assert float(norm.denormalise(torch.zeros(1))) == pytest.approx(3.0)


def test_before_the_first_update_nothing_is_changed_and_constant_returns_do_no_harm() -> None:
    norm, returns = ValueNorm(), draws(5)
    assert torch.equal(norm.normalise(returns), returns) and torch.equal(norm.denormalise(returns), returns)
    norm.update(torch.zeros(5))
    assert torch.isfinite(norm.normalise(returns)).all()


def test_the_norm_travels_with_the_state() -> None:
    norm, other = ValueNorm(), ValueNorm()
    norm.update(draws(9))
    other.load_state_dict(norm.state_dict())
    assert torch.equal(other.normalise(draws(3)), norm.normalise(draws(3)))
