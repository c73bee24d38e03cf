"""From an agent to a running algorithm."""

from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from polyray.cluster.rllib.learner import ModularLearner
from polyray.cluster.rllib.module import ModularModule
from polyray.cluster.rllib.ppo import ModularPPO, ModularPPOConfig
from polyray.cluster.rllib.runner import ACTIONS, OBSERVATIONS, BatchedRunner
from polyray.rl.settings import Agent


def algorithm(agent: Agent) -> ModularPPO:
    """The algorithm that trains `agent`, ready for `train()`; Ray must be there, and `stop()` is the caller's.

    Raises:
        InputError: the policy has no row for a level, or cannot be built.
    """
    options, workers, n = agent.options, agent.workers, agent.environments_per_runner
    config = ModularPPOConfig()
    config.agent = agent
    config.environment(observation_space=OBSERVATIONS, action_space=ACTIONS)
    config.env_runners(
        env_runner_cls=BatchedRunner, num_env_runners=workers.runners, num_envs_per_env_runner=n,
        merge_env_runner_states=False, broadcast_env_runner_states=False,
    )  # fmt: skip
    config.learners(
        learner_class=ModularLearner, num_learners=workers.learners, num_gpus_per_learner=workers.gpus,
        add_default_connectors_to_learner_pipeline=False,
    )  # fmt: skip
    frames = n * options.rollout * max(1, workers.runners)
    config.training(
        train_batch_size_per_learner=frames // max(1, workers.learners), minibatch_size=None, num_epochs=options.epochs,
        gamma=options.discount, lambda_=options.lam, clip_param=options.clip, vf_loss_coeff=options.value_coefficient,
        grad_clip=options.max_grad_norm, use_kl_loss=False,
    )  # fmt: skip
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=ModularModule, model_config={"policy": agent.policy}))
    config.fault_tolerance(  # the others go on playing while a lost runner starts again
        restart_failed_env_runners=True, delay_between_env_runner_restarts_s=1.0, env_runner_health_probe_timeout_s=1.0
    )
    config.torch_skip_nan_gradients = True  # the learner looks at the norm of all gradients instead of each
    config.debugging(log_sys_usage=False)  # a thread that measures the machine, for results that nobody reads
    return ModularPPO(config)
