"""PPO's Learner for sequences: gradients through time, two speeds, minibatches with every task in them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from polyray.cluster.rllib.module import NO_NOISE, noise_seed
from polyray.errors import RunError
from polyray.rl.experience import epochs, minibatch_losses
from polyray.rl.policy import ModularPolicy, parameter_groups
from polyray.rl.settings import ADAM_EPS, Agent
from polyray.training.optimizers import adam_tensors, load_adam

LOSSES = ("total", "policy", "value", "entropy", "kl", "clipped", "explained", "grad_norm", "log_prior")
ITERATION = "iteration"  # among the timesteps of an update: the iteration whose noise and order it uses


class ModularLearner(PPOTorchLearner):
    """Learns from rows of frames that come sorted by task, equally many of each.

    RLlib's minibatch iterator, which converts, slices and concatenates step by step, gives way to one that picks rows
    out of tensors; everything else is RLlib's, so that several learners and their gradients' mean work as ever.
    """

    config: Any
    module: Any
    _device: Any

    def build(self) -> None:
        """Build module and optimiser, with as many threads as the options say."""
        agent: Agent = self.config.agent
        self.options = agent.options
        torch.set_num_threads(agent.workers.threads)
        self._logged: defaultdict[str, list[Tensor]] = defaultdict(list)
        super().build()

    @property
    def policy(self) -> ModularPolicy:
        """The policy that learns."""
        policy: ModularPolicy = self.module[DEFAULT_MODULE_ID].unwrapped().policy
        return policy

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """One Adam, whose groups (skills, routing, backbone) have rates of their own: one norm clips them all."""
        self.adam = torch.optim.Adam(parameter_groups(self.policy, self.options), eps=ADAM_EPS, fused=True)
        parameters = [parameter for group in self.adam.param_groups for parameter in group["params"]]
        self.register_optimizer(module_id=module_id, optimizer=self.adam, params=parameters)

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Set what follows from how far the training is: noise, order of rows, coefficient of the entropy."""
        super().before_gradient_based_update(timesteps=timesteps)
        seed = noise_seed(self.options.seed, timesteps[ITERATION])
        self._noise = seed if self.options.routing_noise == "shared" else NO_NOISE
        self._order = torch.Generator().manual_seed(seed)
        self._entropy = self.options.entropy_after(timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME])
        self._logged.clear()

    def _create_iterator_if_necessary(self, *, training_data: Any, **kwargs: Any) -> Iterable[MultiAgentBatch]:
        return self._minibatches(training_data.batch.policy_batches[DEFAULT_MODULE_ID])

    def _minibatches(self, rows: Mapping[str, Any]) -> Iterator[MultiAgentBatch]:
        for batch in epochs(rows, self.options, self._order, self._device):
            n_rows, recurrence = batch["actions"].shape
            batch["noise"] = torch.full((n_rows,), self._noise)
            yield MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(batch)}, n_rows * recurrence)

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> Tensor:
        """PPO's clipped loss, minus the allocation's log prior where it has a coefficient."""
        losses = minibatch_losses(
            fwd_out[Columns.ACTION_DIST_INPUTS], fwd_out[Columns.VF_PREDS], batch, self.options, self._entropy
        )
        total: Tensor = losses.total
        prior = self.policy.router.log_prior()
        if prior is not None:
            total = total - prior
            self._note(log_prior=prior)
        self._note(**{**losses._asdict(), "total": total})
        return total

    def postprocess_gradients(self, gradients_dict: dict[Any, Tensor]) -> dict[Any, Tensor]:
        """Scale all gradients together so that their norm is at most `max_grad_norm`.

        Raises:
            RunError: the norm is no number.
        """
        norm = torch.nn.utils.clip_grad_norm_(list(gradients_dict), self.options.max_grad_norm)
        if not torch.isfinite(norm):
            raise RunError("The gradient is not finite: lower the learning rates or the reward scale.")
        self._note(grad_norm=norm)
        return gradients_dict

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Log every loss as its mean over the update's minibatches."""
        super().after_gradient_based_update(timesteps=timesteps)
        for name, values in self._logged.items():
            self.metrics.log_value((DEFAULT_MODULE_ID, name), torch.stack(values).mean().item(), window=1)

    def learning_state(self) -> dict[str, Any]:
        """Tensors of the policy and of Adam: all that an update depends on beside its data."""
        policy = {name: tensor.detach().cpu().clone() for name, tensor in self.policy.state_dict().items()}
        return {"policy": policy, "adam": adam_tensors(self.adam)}

    def load_learning_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `learning_state` returned."""
        self.policy.load_state_dict(state["policy"])
        load_adam(self.adam, state["adam"])

    def _note(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._logged[name].append(value.detach())
