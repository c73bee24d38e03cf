"""The noise of routers against its known distributions."""

import math

import pytest
import torch
from torch import Tensor

from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, TokenMix
from polyray.routing import ROUTERS, LearnedRouter


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _learned(name: str, **options: float) -> LearnedRouter:
    entry = ROUTERS[name]
    router = entry(["t"], Layout(sites=("s",), widths=(1,)), entry.Options.model_validate(options), seeded(0))
    assert isinstance(router, LearnedRouter)
    return router


def _drawn(mix: Mix | TokenMix) -> Tensor:
    """[batch, skills] at the one site."""
    assert isinstance(mix, Mix)
    return mix.dense()[:, 0, 0].detach()


def test_a_cell_of_the_relaxed_bernoulli_has_its_known_mean() -> None:
    """E sigmoid(z + logit(u)) = a / (a - 1) - a ln(a) / (a - 1)^2 with a = exp(z), at temperature 1.

    A second skill that is on for sure has the cell 1, so the first one's is w / (1 - w).
    """
    router = _learned("polytropon", n_skills=2)
    for z in (-2.0, 0.7):
        with torch.no_grad():
            router.logits.copy_(torch.tensor([z, 50.0]))
        w = _drawn(router(["t"] * 40_000, seeded(1)))[:, 0].double()
        a = torch.tensor(z, dtype=torch.float64).exp()
        mean = a / (a - 1) - a * a.log() / (a - 1) ** 2
        assert (w / (1 - w)).mean().item() == pytest.approx(float(mean), abs=5e-3)


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_a_skill_is_on_as_often_as_its_probability_at_any_temperature(temperature: float) -> None:
    router = _learned("polytropon", n_skills=2, temperature=temperature)
    with torch.no_grad():
        router.logits.copy_(torch.tensor([-1.0, 500.0]))
    w = _drawn(router(["t"] * 40_000, seeded(1)))[:, 0]
    on = (w / (1 - w) > 0.5).float().mean()
    assert float(on) == pytest.approx(1 / (1 + math.e), abs=1e-2)


def test_one_hard_skill_is_drawn_as_often_as_softmax_says() -> None:
    router = _learned("hard", n_skills=3, top=1)
    with torch.no_grad():
        router.logits.copy_(torch.tensor([0.0, 1.0, -1.0]))
    drawn = _drawn(router(["t"] * 40_000, seeded(1)))
    assert torch.allclose(drawn.mean(0), torch.tensor([0.0, 1.0, -1.0]).softmax(0), atol=1e-2)


def test_soft_draws_are_nearer_to_one_skill_at_a_lower_temperature() -> None:
    """By the Gumbel-max trick the largest share of the draws follows the softmax at every temperature."""
    shares = []
    for temperature in (0.1, 5.0):
        router = _learned("soft", n_skills=3, temperature=temperature)
        with torch.no_grad():
            router.logits.copy_(torch.tensor([0.0, 1.0, -1.0]))
        drawn = _drawn(router(["t"] * 40_000, seeded(1)))
        winners = torch.bincount(drawn.argmax(-1), minlength=3) / len(drawn)
        assert torch.allclose(winners, torch.tensor([0.0, 1.0, -1.0]).softmax(0), atol=1e-2)
        shares.append(float(drawn.max(-1).values.mean()))
    assert shares[0] > 0.95 > 0.6 > shares[1]
    silent = _drawn(_learned_at(5.0).eval()(["t"]))
    assert torch.allclose(silent[0], (torch.tensor([0.0, 1.0, -1.0]) / 5).softmax(0))


def _learned_at(temperature: float) -> LearnedRouter:
    router = _learned("soft", n_skills=3, temperature=temperature)
    with torch.no_grad():
        router.logits.copy_(torch.tensor([0.0, 1.0, -1.0]))
    return router


def test_evaluation_of_polytropon_ignores_the_temperature() -> None:
    cells = torch.tensor([0.5, -1.0]).sigmoid()
    for temperature in (0.3, 3.0):
        router = _learned("polytropon", n_skills=2, temperature=temperature).eval()
        with torch.no_grad():
            router.logits.copy_(torch.tensor([0.5, -1.0]))
        assert torch.allclose(_drawn(router(["t"]))[0], cells / cells.sum())
