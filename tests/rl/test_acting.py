"""The policy for rollouts equals the policy itself, and reads each mission once."""

from dataclasses import replace

import pytest
import torch
from policy_cases import NETWORKS, ROUTINGS, frames_of, noise, policy_of, tensors_of
from torch import Tensor

from polyray.rl.fast.network import Modulations, RowwiseNetwork, Tables

TASKS = ([0, 0, 1, 1], [2, 0, 2, 1], [2, 2])  # in equal blocks, in no order, and only one of the levels


def test_the_acting_policy_equals_the_policy_step_after_step() -> None:
    wrong = []
    for preset in ("small", "paper", "bag of words, group norm"):
        for routing in ROUTINGS:
            policy = policy_of("dense", routing, NETWORKS[preset])
            memory = policy.options.memory
            for tasks in TASKS:
                acting = policy.folded(torch.tensor(tasks), noise())
                for step, n_frames in enumerate((1, 1, 1, 3)):
                    frames = frames_of(tasks, n_frames, memory, seed=step)
                    outputs, expected = tensors_of(acting(frames)), tensors_of(policy(frames, noise()))
                    wrong += [
                        f"{preset}, {routing}, {tasks}, step {step}: {name}"
                        for name in outputs
                        if not torch.allclose(outputs[name], expected[name], rtol=1e-9, atol=1e-9)
                    ]
                    assert not outputs["logits"].requires_grad
    assert not wrong, "\n".join(wrong)


def test_each_mission_is_read_once_for_each_row_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("dense", "private")
    frames = frames_of([0, 0, 1, 1], 1, 0)
    missions = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 7, 8, 7, 8], [3, 0, 0, 0, 0, 0]]).byte()
    batches: list[Tensor] = []
    modulations = RowwiseNetwork.modulations

    def read(network: RowwiseNetwork, tokens: Tensor, tables: Tables) -> Modulations:
        batches.append(tokens)
        return modulations(network, tokens, tables)

    acting = policy.folded(frames.task)
    monkeypatch.setattr(RowwiseNetwork, "modulations", read)
    outputs = {
        tuple(numbers): acting(replace(frames, mission=missions[numbers][:, None])).logits
        for numbers in ([0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [2, 1, 1, 1])
    }
    one, two, padding, three = [1, 2, 3, 4, 5, 6], [7, 8, 7, 8, 7, 8], [0] * 6, [3]
    # the first mission in both rows; then the second in the first row, later in the second row, beside padding
    assert [batch.tolist() for batch in batches] == [
        [[one], [one]], [[two], [padding]], [[padding], [two]], [[three], [[0]]],
    ]  # fmt: skip
    for numbers, logits in outputs.items():
        expected = policy(replace(frames, mission=missions[list(numbers)][:, None])).logits
        assert torch.allclose(logits, expected, rtol=1e-9, atol=1e-9), numbers


def test_other_environments_than_those_it_was_merged_for_are_refused() -> None:
    acting = policy_of("dense", "private").folded(torch.tensor([0, 1]))
    for tasks in ([1, 0], [0, 1, 1]):
        with pytest.raises(ValueError, match="merged for"):
            acting(frames_of(tasks, 1, 0))
