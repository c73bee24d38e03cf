"""PPO's arithmetic: numbers worked by hand, laws, and plain Python loops."""

import math

import pytest
import torch
from torch import Tensor

from polyray.rl.ppo import Coefficients, Experience, ValueNorm, explained_variance, gae, ppo_loss, standardise

WITHOUT_ENTROPY = Coefficients(clip=0.2, value=0.5, entropy=0.0)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_advantages_of_two_steps_worked_by_hand() -> None:
    # delta_1 = 2 + 0.5 * 4 - 3 = 1; delta_0 = 1 + 0.5 * 3 - 2 = 0.5; A_1 = 1; A_0 = 0.5 + 0.5 * 0.8 * 1 = 0.9
    rewards, values = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 3.0]])
    advantages, returns = gae(rewards, values, torch.zeros(1, 2, dtype=torch.bool), torch.tensor([4.0]), 0.5, 0.8)
    assert torch.allclose(advantages, torch.tensor([[0.9, 1.0]]))
    assert torch.allclose(returns, torch.tensor([[2.9, 4.0]]))


def test_nothing_flows_back_over_the_end_of_an_episode() -> None:
    # the first step ends an episode: A_0 = 1 - 2 = -1, whatever follows; so does the second: A_1 = 2 - 3
    rewards, values = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 3.0]])
    for dones, expected in (([True, False], [-1.0, 1.0]), ([True, True], [-1.0, -1.0])):
        advantages, _ = gae(rewards, values, torch.tensor([dones]), torch.tensor([4.0]), 0.5, 0.8)
        assert torch.allclose(advantages, torch.tensor([expected]))


def test_with_lambda_one_advantages_are_discounted_returns_minus_values() -> None:
    rewards, values, last = draws(3, 7), draws(3, 7, seed=1), draws(3, seed=2)
    dones = draws(3, 7, seed=3) > 0.7
    advantages, returns = gae(rewards, values, dones, last, 0.9, 1.0)
    for row in range(3):
        discounted = float(last[row])
        for step in reversed(range(7)):
            discounted = float(rewards[row, step]) + 0.9 * (0.0 if dones[row, step] else discounted)
            assert math.isclose(float(returns[row, step]), discounted, rel_tol=1e-12)
            assert math.isclose(float(advantages[row, step]), discounted - float(values[row, step]), rel_tol=1e-9)


def test_advantages_equal_a_plain_loop() -> None:
    rewards, values, last = draws(3, 7), draws(3, 7, seed=1), draws(3, seed=2)
    dones = draws(3, 7, seed=3) > 0.7
    advantages, _ = gae(rewards, values, dones, last, 0.99, 0.95)
    for row in range(3):
        advantage, next_value = 0.0, float(last[row])
        for step in reversed(range(7)):
            continues, value = float(~dones[row, step]), float(values[row, step])
            delta = float(rewards[row, step]) + 0.99 * next_value * continues - value
            advantage = delta + 0.99 * 0.95 * continues * advantage
            next_value = value
            assert math.isclose(float(advantages[row, step]), advantage, rel_tol=1e-9)


def experience_of(b: int, t: int) -> Experience:
    actions = torch.randint(4, (b, t), generator=torch.Generator().manual_seed(0))
    return Experience(
        actions=actions, logp=draws(b, t, seed=1) / 3 - 1.4, values=draws(b, t, seed=2), advantages=draws(b, t, seed=3),
        returns=draws(b, t, seed=4),
    )  # fmt: skip


def test_the_loss_equals_a_plain_loop_over_frames() -> None:
    b, t = 12, 5
    experience, logits, values = experience_of(b, t), draws(b, t, 4, seed=5), draws(b, t, seed=6)
    losses = ppo_loss(
        logits.clone().requires_grad_(), values, experience, Coefficients(clip=0.2, value=0.5, entropy=0.01)
    )
    surrogate = squares = entropy = divergence = outside = 0.0
    sides = set()
    for row in range(b):
        for step in range(t):
            odds = [math.exp(logit) for logit in logits[row, step].tolist()]
            chances = [chance / sum(odds) for chance in odds]
            log_ratio = math.log(chances[experience.actions[row, step]]) - float(experience.logp[row, step])
            ratio, advantage = math.exp(log_ratio), float(experience.advantages[row, step])
            surrogate -= min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
            value, old, target = (float(x[row, step]) for x in (values, experience.values, experience.returns))
            clipped = old + min(max(value - old, -0.2), 0.2)
            squares += max((value - target) ** 2, (clipped - target) ** 2)
            entropy -= sum(chance * math.log(chance) for chance in chances)
            divergence += ratio - 1 - log_ratio
            outside += abs(ratio - 1) > 0.2
            sides.add((ratio > 1.2, ratio < 0.8, advantage > 0, (value - target) ** 2 > (clipped - target) ** 2))
    assert len(sides) == 12, "every side of the clip, with either sign of the advantage and either value the larger"
    means = [total / (b * t) for total in (surrogate, squares, entropy, divergence, outside)]
    assert [float(loss) for loss in losses[1:6]] == pytest.approx(means)
    assert float(losses.total.detach()) == pytest.approx((surrogate + 0.5 * squares - 0.01 * entropy) / (b * t))
    assert torch.equal(losses.explained, explained_variance(values, experience.returns))
    assert [loss.requires_grad for loss in losses] == [True] + 6 * [False]


def test_for_the_policy_that_acted_the_gradient_is_the_policy_gradient() -> None:
    logits = draws(2, 3, 4, seed=5).requires_grad_()
    drawn = experience_of(2, 3)
    logp = logits.log_softmax(-1).gather(-1, drawn.actions.unsqueeze(-1)).squeeze(-1)
    experience = Experience(
        actions=drawn.actions, logp=logp.detach(), values=drawn.values, advantages=drawn.advantages,
        returns=drawn.returns,
    )  # fmt: skip
    losses = ppo_loss(logits, drawn.values, experience, WITHOUT_ENTROPY)
    assert float(losses.kl) == 0.0 and float(losses.clipped) == 0.0
    (expected,) = torch.autograd.grad(-(logp * drawn.advantages).mean(), logits)
    assert torch.allclose(torch.autograd.grad(losses.total, logits)[0], expected)


def test_a_clipped_frame_gives_no_gradient_to_the_policy() -> None:
    # One action of two had probability 0.5. At 0.9 the ratio is 1.8: beyond the clip for a positive advantage. At 0.1
    # it is 0.2: beyond the clip for a negative one.
    one = torch.ones(1, 1)
    for chance, advantage, loss in ((0.9, 1.0, -1.2), (0.1, -1.0, 0.8)):
        logits = torch.tensor([[[math.log(chance), math.log(1 - chance)]]], requires_grad=True)
        experience = Experience(
            actions=torch.zeros(1, 1, dtype=torch.long), logp=(one / 2).log(), values=one, advantages=one * advantage,
            returns=one,
        )  # fmt: skip
        losses = ppo_loss(logits, one, experience, WITHOUT_ENTROPY)
        assert float(losses.policy) == pytest.approx(loss) and float(losses.clipped) == 1.0
        assert not torch.autograd.grad(losses.total, logits)[0].any()


def test_a_value_that_moved_beyond_the_clip_towards_its_return_gives_no_gradient() -> None:
    # The acting critic said 0, the return is 1. A value of 0.5 counts as 0.2: 0.8 ** 2 = 0.64 with weight 0.5.
    zero, values = torch.zeros(1, 1), torch.full((1, 1), 0.5, requires_grad=True)
    experience = Experience(actions=zero.long(), logp=zero, values=zero, advantages=zero, returns=torch.ones(1, 1))
    losses = ppo_loss(torch.zeros(1, 1, 1), values, experience, WITHOUT_ENTROPY)
    assert float(losses.value) == pytest.approx(0.64) and float(losses.total.detach()) == pytest.approx(0.32)
    assert not torch.autograd.grad(losses.total, values)[0].any()


def test_the_entropy_bonus_draws_towards_even_chances() -> None:
    logits = torch.tensor([[[1.0, 0.0]]], requires_grad=True)
    zero = torch.zeros(1, 1)
    experience = Experience(actions=zero.long(), logp=zero, values=zero, advantages=zero, returns=zero)
    losses = ppo_loss(logits, zero, experience, Coefficients(clip=0.2, value=0.5, entropy=0.5))
    (gradient,) = torch.autograd.grad(losses.total, logits)
    assert gradient[0, 0, 0] > 0 > gradient[0, 0, 1], "a step against the gradient lowers the likelier action"


def test_explained_variance_by_hand() -> None:
    # Var(R) = 2/3; the residuals are 0, then R, then (-2, 0, 2) with variance 8/3; returns that do not vary explain 0
    returns = torch.tensor([1.0, 2.0, 3.0])
    for values, share in (([1.0, 2.0, 3.0], 1.0), ([2.0, 2.0, 2.0], 0.0), ([3.0, 2.0, 1.0], -3.0)):
        assert float(explained_variance(torch.tensor(values), returns)) == pytest.approx(share)
    assert float(explained_variance(returns, torch.ones(3))) == 0.0


def test_standardised_numbers_by_hand() -> None:
    # mean 2, deviation 1 (two of three degrees of freedom)
    assert torch.allclose(standardise(torch.tensor([[1.0, 2.0, 3.0]])), torch.tensor([[-1.0, 0.0, 1.0]]))
    assert torch.equal(standardise(torch.ones(4)), torch.zeros(4))


def test_normalised_returns_have_mean_zero_and_deviation_one() -> None:
    norm, returns = ValueNorm(), 3 + 5 * draws(40, 10)
    norm.update(returns)
    normalised = norm.normalise(returns)
    assert float(normalised.mean()) == pytest.approx(0, abs=1e-9)
    assert float(normalised.std(correction=0)) == pytest.approx(1)
    assert torch.allclose(norm.denormalise(normalised), returns)


def test_two_updates_weigh_as_the_decay_says() -> None:
    # decay 0.5: weights 1/4 and 1/2, together 3/4: mean (1 * 0.25 + 4 * 0.5) / 0.75 = 3, of squares (1 * 0.25 + 16 *
    # 0.5) / 0.75 = 11, deviation sqrt(11 - 9)
    norm = ValueNorm(decay=0.5)
    norm.update(torch.ones(4))
    norm.update(torch.full((4,), 4.0))
    assert norm.denormalise(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([3.0, 3.0 + math.sqrt(2)])


def test_before_the_first_update_nothing_changes_and_constant_returns_count_as_deviation_a_hundredth() -> None:
    norm, returns = ValueNorm(), draws(5)
    assert torch.equal(norm.normalise(returns), returns) and torch.equal(norm.denormalise(returns), returns)
    norm.update(torch.ones(5))
    assert float(norm.normalise(torch.tensor([6.0]))) == pytest.approx(500.0)


def test_the_norm_travels_with_the_state() -> None:
    norm, other = ValueNorm(), ValueNorm()
    norm.update(draws(9))
    other.load_state_dict(norm.state_dict())
    assert torch.equal(other.normalise(draws(3)), norm.normalise(draws(3)))
