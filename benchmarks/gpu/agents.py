"""PPO with nine skills on BabyAI's batched environments: the policy on the device, the levels on the CPU."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.bench import Bench
from polyray.envs.engine.engine import Engine
from polyray.envs.levels import Level, levels_of
from polyray.envs.missions import VOCABULARY
from polyray.envs.starts.resumable import starts_for
from polyray.modules.options import SkillOptions
from polyray.rl.experience import epochs, frames_of, minibatch_losses, sequences_of
from polyray.rl.options import PAPER, SMALL, PolicyOptions
from polyray.rl.player import Player
from polyray.rl.policy import build_policy, parameter_groups
from polyray.rl.ppo import ValueNorm
from polyray.rl.settings import ADAM_EPS, PPOOptions
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.skills.spec import InventorySpec

NINE = InventorySpec(
    modules=SkillOptions.model_validate({"kind": "dense"}),
    routing=RoutingOptions(options=LearnedOptions(n_skills=9, sample="task")),
)
NETWORKS: Mapping[str, PolicyOptions] = {"paper": PAPER, "small": SMALL}


def ppo_table(bench: Bench) -> list[dict[str, Any]]:
    """Frames per second and shares of the time, for the paper's network and the small one."""
    levels = levels_of(None, ["GoToObj", "GoToLocal"]) if bench.small else levels_of("paper8", ())
    environments, rollout = (16, 8) if bench.small else (1024, 40)
    options = PPOOptions(
        environments=environments, rollout=rollout, recurrence=rollout // 2, batch=environments * rollout // 4
    )
    names = ("small",) if bench.small else tuple(NETWORKS)
    rows = []
    for number, name in enumerate(names):
        loop = Loop(NETWORKS[name], levels, options, bench)
        until = time.monotonic() + bench.seconds / (len(names) - number)
        rows.append({"network": name, "environments": environments, **loop.figures(1 if bench.small else 200, until)})
    return rows


class Loop:
    """Plays and learns, round after round, in this process."""

    def __init__(self, network: PolicyOptions, levels: Sequence[Level], options: PPOOptions, bench: Bench) -> None:
        self._options, self._bench = options, bench
        names = [level.name for level in levels]
        self._policy = build_policy(network, names, NINE, len(VOCABULARY), seed=0).to(bench.device)
        self._adam = torch.optim.Adam(parameter_groups(self._policy, options), eps=ADAM_EPS, fused=True)
        task = np.repeat(np.arange(len(levels)), options.environments // len(levels))
        starts = starts_for(levels, seed=0)
        self._player = Player(
            Engine(levels, task, starts),
            starts,
            np.arange(len(levels)),
            network.memory,
            torch.Generator().manual_seed(0),
            bench.device,
        )
        self._task, self._returns = torch.from_numpy(task).to(bench.device), ValueNorm()

    def figures(self, rounds: int, until: float) -> dict[str, float]:
        """Frames per second over `rounds` rounds, or fewer if the time is over, and shares of it in percent."""
        self._round(0)  # compiles and warms up
        total: Counter[str] = Counter()
        done = 0
        while done < rounds and (done == 0 or time.monotonic() < until):
            done += 1
            total.update(self._round(done))
        frames = total.pop("frames")
        seconds = sum(total.values())
        shares = {f"{activity}_%": 100 * spent / seconds for activity, spent in total.items()}
        return {"rounds": done, "frames_per_second": frames / seconds, **shares}

    def _round(self, number: int) -> dict[str, Any]:
        """Frames of a round, and seconds of each activity."""
        act = self._policy.eval().folded(self._task)
        rollout = self._player.play(act, self._options.rollout, self._options.recurrence)
        began = self._bench.now()
        rows, _ = sequences_of(rollout, self._options, self._returns)
        self._policy.train()
        for batch in epochs(rows, self._options, torch.Generator().manual_seed(number), self._bench.device):
            self._learn(batch, torch.Generator().manual_seed(number))
        return {
            "frames": rollout.n_frames, "environment": rollout.environment, "inference": rollout.inference,
            "learning": self._bench.now() - began,
        }  # fmt: skip

    def _learn(self, batch: Mapping[str, torch.Tensor], noise: torch.Generator) -> None:
        outputs = self._policy(frames_of(batch), noise)
        losses = minibatch_losses(outputs.logits, outputs.values, batch, self._options, self._options.entropy)
        self._adam.zero_grad()
        losses.total.backward()
        learned = [parameter for group in self._adam.param_groups for parameter in group["params"]]
        torch.nn.utils.clip_grad_norm_(learned, self._options.max_grad_norm)
        self._adam.step()
