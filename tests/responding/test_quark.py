"""Quark: its maths by hand, its pool, and a training that ends the same however often it is killed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from grounded_cases import write_dialogues
from judge_cases import save_classifier
from torch import Tensor
from tuning_cases import Stopped, different

from polyray.backbones import load_backbone
from polyray.config import load_config
from polyray.decoding.quark import quantiles, quark_losses
from polyray.errors import InputError, Interrupted
from polyray.judges.critic import load_critic, unfaithfulness
from polyray.modules.site import mixing
from polyray.objectives.answers import AnswerBatch
from polyray.objectives.losses import IGNORED
from polyray.responding.rewards import RewardedRecipe, rewarding
from polyray.responding.rewards import train as train_rewarded
from polyray.runs.run import Run
from polyray.skills.skill import load_card
from polyray.tasks import DialogueExample, load_suite
from polyray.training.data import Encoded
from polyray.training.model import bare
from polyray.training.quark.batches import QuarkBatches
from polyray.training.quark.loss import QuarkLoss
from polyray.training.quark.pool import RewardPool
from polyray.training.quark.recipe import DrawOptions, QuarkOptions, QuarkRecipe
from polyray.training.quark.training import stage_of
from polyray.training.worker import Alone

TINY = (
    "backbone=tiny-causal", "method.kind=lora", "method.rank=2", "training.steps=3", "training.batch=4",
    "training.lr=1e-2", "training.report_every=1", "training.save_every=1", "text.max_output=8", "quark.every=2",
    "quark.quantiles=2", "quark.draw.n=3", "quark.draw.batch=2", "quark.reward=chrF", "tasks.train_splits=[train]",
    "evaluation.every=2", "evaluation.dev_examples=2",
)  # fmt: skip


def test_responses_are_drawn_from_the_whole_distribution_unless_said() -> None:
    draws = DrawOptions()
    assert (draws.sample, draws.top_k, draws.top_p) == (True, 0, 1.0)


def test_quantiles_by_hand() -> None:
    # seven rewards in three classes of two; the lowest class also has the one that is left; of the equal ones the first
    # is the higher: 9 8 | 5 5 | 5 2 1
    assert quantiles([5, 9, 1, 5, 8, 2, 5], 3) == [2, 3, 1, 2, 3, 1, 1]
    assert quantiles([0.5, 0.7], 5) == [1, 1], "fewer than classes: all are of the lowest"


def test_losses_by_hand() -> None:
    # p = (1/4, 3/4), reference = (1/2, 1/2), the token is the first one
    logits, reference = torch.tensor([[0.25, 0.75]]).log(), torch.zeros(1, 2)
    p = torch.tensor([0.25, 0.75])
    divergence, entropy = float((p * (p / 0.5).log()).sum()), float(-(p * p.log()).sum())
    for kl, weight in ((0.0, 0.0), (0.05, 0.0), (0.0, 0.06), (0.05, 0.06)):
        (loss,) = quark_losses(logits + 3, reference - 1, torch.tensor([0]), kl=kl, entropy=weight).tolist()
        assert loss == pytest.approx(torch.tensor(4.0).log().item() + kl * divergence - weight * entropy)


def test_a_round_sorts_the_whole_pool_anew_and_the_pool_goes_on_from_its_state() -> None:
    pool = RewardPool(2, batch=2, seed=1)
    pool.add([0, 1], ["low", "high"], [0.1, 0.2])
    assert {response: quantile for _, response, quantile in pool.draw()} == {"low": 1, "high": 2}
    pool.add([0, 1], ["higher", "highest"], [0.3, 0.4])
    drawn = {response: quantile for _ in range(2) for _, response, quantile in pool.draw()}
    assert drawn == {"low": 1, "high": 1, "higher": 2, "highest": 2}
    copy = RewardPool(2, batch=2, seed=1)
    copy.restore(pool.state())
    assert [copy.draw() for _ in range(3)] == [pool.draw() for _ in range(3)]
    assert copy.n_drawn == 6 and copy.means == pytest.approx([0.15, 0.35])


def train(out: Path, *overrides: str, run: type[Run] = Run) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    recipe = load_config(RewardedRecipe, overrides=[*TINY, *overrides])
    return train_rewarded(recipe.model_dump(mode="json"), run(out), Alone())


def test_a_training_that_is_stopped_after_every_step_ends_the_same_to_the_byte(tmp_path: Path) -> None:
    data = write_dialogues(tmp_path / "data")
    whole = train(tmp_path / "whole", *data)
    starts = 0
    while True:
        starts += 1
        try:
            resumed = train(tmp_path / "stopped", *data, run=Stopped)
        except Interrupted:
            continue
        break
    assert starts == 3 and resumed == whole and different(tmp_path / "whole", tmp_path / "stopped") == []
    assert len(whole["rewards"]) == 2, "before updates 1 and 3"
    card = load_card(next((tmp_path / "whole" / "skills").iterdir()))
    assert card.forms["places"].control == ("<reward-2>",) and whole["parameters"]["skills"] > 0


def test_a_method_of_two_phases_is_refused() -> None:
    recipe = load_config(QuarkRecipe, overrides=["method.kind=lottery_ticket"])
    with pytest.raises(InputError, match="lottery_ticket trains in 2 phases"):
        stage_of(recipe)


def test_the_less_a_critic_finds_a_response_unfaithful_the_larger_is_its_reward(
    tmp_path: Path,
) -> None:
    folder = save_classifier(tmp_path, {0: "faithful", 1: "unfaithful"})
    critic = (f"critic.model={folder}", "critic.unfaithful=[unfaithful]", "quark.reward=Critic-P")
    recipe = load_config(RewardedRecipe, overrides=critic)
    pairs = [("the hotel has free wifi", "yes it does"), ("no pool", "the hotel has a pool")]
    examples = [
        DialogueExample(task="t", history=(), knowledge=(knowledge,), outputs=("x",), location="")
        for knowledge, _ in pairs
    ]
    probabilities = unfaithfulness(load_critic(recipe.critic), pairs, ("unfaithful",))[1]
    assert rewarding(recipe)([response for _, response in pairs], examples) == (-probabilities).tolist()


def rewarded(texts: Sequence[str], examples: Sequence[DialogueExample]) -> list[float]:
    """Longer responses are better; nothing is said about empty ones."""
    return [float(len(text)) if text else float("nan") for text in texts]


def batches_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> tuple[QuarkBatches, list[Any]]:
    """Batches over responses "", "a", "aa", ... instead of drawn ones; the examples that were asked, round by round."""
    data = write_dialogues(tmp_path / "data")
    recipe = load_config(RewardedRecipe, overrides=[*data, *TINY, *overrides])
    backbone = load_backbone("tiny-causal")
    batches = QuarkBatches(recipe, load_suite(recipe.tasks), backbone, Alone(), rewarded)
    asked: list[Any] = []

    def write(policy: Any, data: Encoded, options: Any, max_output: int) -> list[str]:
        asked.append(data.examples)
        return ["a" * number for number in range(len(data.rows))]

    monkeypatch.setattr("polyray.training.quark.batches.predictions", write)
    batches.follow(bare(backbone, ["places"]))
    return batches, asked


def test_the_first_round_is_drawn_without_a_token_and_the_others_with_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, asked = batches_of(tmp_path, monkeypatch, "quark.quantiles=3")
    for _ in range(4):
        batch = batches.draw()
    assert [{example.control for example in of_round} for of_round in asked] == [{()}, {("<reward-3>",)}]
    assert [len(of_round) for of_round in asked] == [3, 3], "quark.draw.n"
    assert batches.sampler.means == [1.5, 1.5], "the empty responses have no reward"
    text = batches._backbone.text
    conditioned, plain = (
        [text.decode(row[row != text.pad].tolist()) for row in x.tokens] for x in (batch.conditioned, batch.plain)
    )
    responses = [text.decode(labels[labels != IGNORED].tolist()) for labels in batch.conditioned.labels]
    for with_token, without, response in zip(conditioned, plain, responses, strict=True):
        token, rest = with_token.split(" ", 1)
        assert rest == without and token in {"a": ("<reward-1>",), "aa": ("<reward-2>", "<reward-3>")}[response]


@torch.no_grad()
def test_the_loss_of_a_batch_is_the_mean_over_tokens_of_passes_over_single_responses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, _ = batches_of(tmp_path, monkeypatch)
    batch = batches.draw()
    policy, reference = (bare(load_backbone("tiny-causal"), ["places"]).eval() for _ in range(2))
    for parameter in policy.network.parameters():
        parameter.mul_(1.1)
    with mixing(policy.inventory):
        loss = QuarkLoss(policy, reference, QuarkOptions())(batch)
    losses: list[float] = []
    for conditioned, plain in zip(rows(batch.conditioned), rows(batch.plain), strict=True):
        (ours, learned), (theirs, _) = (
            (model.backbone.model(input_ids=tokens[None]).logits[0][labels != IGNORED].log_softmax(1), labels)
            for model, (tokens, labels) in ((policy, conditioned), (reference, plain))
        )
        for p, q, token in zip(ours, theirs, learned[learned != IGNORED], strict=True):
            divergence, entropy = (p.exp() * (p - q)).sum(), -(p.exp() * p).sum()
            losses.append(float(-p[token] + 0.05 * divergence - 0.06 * entropy))
    assert float(loss) == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def rows(batch: AnswerBatch) -> list[tuple[Tensor, Tensor]]:
    """Tokens and labels of each row without padding."""
    return [
        (tokens[mask > 0], labels[mask > 0])
        for tokens, mask, labels in zip(batch.tokens, batch.mask, batch.labels, strict=True)
    ]
