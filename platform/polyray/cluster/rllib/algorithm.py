"""From an agent to a running algorithm, and from it to a folder and back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from polyray.cluster.rllib.learner import ModularLearner
from polyray.cluster.rllib.module import ModularModule
from polyray.cluster.rllib.ppo import ModularPPO, ModularPPOConfig
from polyray.cluster.rllib.runner import ACTIONS, OBSERVATIONS, BatchedRunner
from polyray.envs.missions import VOCABULARY
from polyray.errors import InputError
from polyray.rl.settings import Agent, environments_per_runner

CARD = "agent.json"  # beside RLlib's files: what a checkpoint fits


def algorithm(agent: Agent) -> ModularPPO:
    """The algorithm that trains `agent`, ready for `train()`; Ray must be there, and `stop()` is the caller's.

    Raises:
        InputError: the policy has no row for a level, or cannot be built.
    """
    return ModularPPO(config(agent))


def config(agent: Agent) -> ModularPPOConfig:
    """RLlib's config for `agent`."""
    options, workers = agent.options, agent.workers
    n = environments_per_runner(options.environments, len(agent.tasks), workers)
    frames = n * options.rollout * max(1, workers.runners)
    found = ModularPPOConfig()
    found.agent = agent
    found.environment(observation_space=OBSERVATIONS, action_space=ACTIONS)
    found.env_runners(
        env_runner_cls=BatchedRunner, num_env_runners=workers.runners, num_envs_per_env_runner=n,
        merge_env_runner_states=False, broadcast_env_runner_states=False,
    )  # fmt: skip
    found.learners(
        learner_class=ModularLearner, num_learners=workers.learners, num_gpus_per_learner=workers.gpus,
        add_default_connectors_to_learner_pipeline=False,
    )  # fmt: skip
    found.training(
        train_batch_size_per_learner=frames // max(1, workers.learners),
        minibatch_size=None, num_epochs=options.epochs, gamma=options.discount, lambda_=options.lam,
        entropy_coeff=options.entropy_schedule(agent.frames), clip_param=options.clip,
        vf_loss_coeff=options.value_coefficient, grad_clip=options.max_grad_norm, use_kl_loss=False,
    )  # fmt: skip
    found.rl_module(rl_module_spec=RLModuleSpec(module_class=ModularModule, model_config={"policy": agent.policy}))
    found.fault_tolerance(  # the others go on playing while a lost runner starts again
        restart_failed_env_runners=True, delay_between_env_runner_restarts_s=1.0, env_runner_health_probe_timeout_s=1.0
    )
    found.torch_skip_nan_gradients = True  # the learner looks at the norm of all gradients instead of each
    return found


def save(trained: ModularPPO, folder: Path) -> None:
    """Write everything that `restore` needs to go on exactly into `folder`."""
    trained.save_to_path(folder.absolute())
    (folder / CARD).write_text(json.dumps(card(trained.agent), indent=1), encoding="utf-8")


def restore(trained: ModularPPO, folder: Path) -> None:
    """Let `trained` go on from what `save` wrote.

    Raises:
        InputError: there is no such checkpoint, or it has other levels, words or another policy.
    """
    found = _read(folder)
    for name, wanted in card(trained.agent).items():
        if found.get(name) != wanted:
            raise InputError(
                f"The checkpoint {folder} does not fit: its {name} is {_short(found.get(name))}, this run's is "
                f"{_short(wanted)}. Start a new run, or give the options that the checkpoint was made with."
            )
    trained.restore_from_path(folder.absolute())


def card(agent: Agent) -> dict[str, Any]:
    """What a checkpoint of `agent` must agree with, as JSON has it."""
    policy = agent.policy
    return {
        "levels": [level.name for level in agent.levels], "vocabulary": list(VOCABULARY), "tasks": list(policy.tasks),
        "network": policy.options.model_dump(mode="json"), "skills": policy.spec.model_dump(mode="json"),
    }  # fmt: skip


def _read(folder: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no checkpoint of an agent: {error}") from None
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
