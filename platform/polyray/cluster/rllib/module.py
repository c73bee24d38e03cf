"""The modular policy as an RLModule."""

from typing import Any, Self

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor

from polyray.rl.blueprint import Blueprint
from polyray.rl.experience import frames_of
from polyray.rl.frames import Outputs
from polyray.rl.policy import ModularPolicy

NO_NOISE = -1  # in place of a seed: the mix of evaluation


def noise_seed(seed: int, iteration: int) -> int:
    """The seed of the routing noise of an iteration, the same in every process."""
    return int(np.random.SeedSequence([seed, iteration]).generate_state(1, np.uint32)[0])


class ModularModule(TorchRLModule, ValueFunctionAPI):
    """`polyray.rl.policy.ModularPolicy` as RLlib's learners and runners want it.

    model_config: {"policy": Blueprint}. A batch has rows of T frames (`polyray.rl.rollout.sequences`) and may have
    "noise": the seed of the routing noise, in every row.
    """

    policy: ModularPolicy
    model_config: Any

    def setup(self) -> None:
        """Build the policy from its blueprint."""
        blueprint: Blueprint = self.model_config["policy"]
        self.policy = blueprint.build()

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; RLlib asks at every step, so nothing is done where nothing changes."""
        return self if self.training == mode else super().train(mode)

    def get_initial_state(self) -> dict[str, Tensor]:
        """An empty memory, [memory] each."""
        width = self.model_config["policy"].options.memory
        return {"memory_h": torch.zeros(width), "memory_c": torch.zeros(width)}

    def is_stateful(self) -> bool:
        """Sequences come with their memory, cut by Polyray: RLlib is to cut and pad nothing."""
        return False

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        seed = int(batch["noise"][0]) if "noise" in batch else NO_NOISE
        outputs: Outputs = self.policy(frames_of(batch), self.noise(seed))
        return {
            Columns.ACTION_DIST_INPUTS: outputs.logits,
            Columns.VF_PREDS: outputs.values,
            Columns.STATE_OUT: {"memory_h": outputs.memory[0], "memory_c": outputs.memory[1]},
        }

    def noise(self, seed: int) -> torch.Generator | None:
        """The generator of routing noise that `seed` stands for; lets the router draw, or with NO_NOISE nothing."""
        self.policy.router.train(seed != NO_NOISE)
        return None if seed == NO_NOISE else torch.Generator().manual_seed(seed)

    def compute_values(self, batch: dict[str, Any], embeddings: Any | None = None) -> Tensor:
        """The critic's values [rows, T]; `embeddings`, where given, are what a forward pass returned."""
        fwd_out = self._forward(batch) if embeddings is None else embeddings
        values: Tensor = fwd_out[Columns.VF_PREDS]
        return values
