"""PPO in one file, in the manner of CleanRL, on a batch of BabyAI environments: no Ray, no skills.

`python examples/cleanrl_ppo.py LEVEL UPDATES ENVIRONMENTS`; the defaults take seconds, and learning takes more.
"""

import sys

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

import polyray.envs  # noqa: F401  (registers the environments)
from polyray.envs.missions import VOCABULARY

LEVEL, UPDATES, N = (*sys.argv[1:], *("GoToLocal", "4", "16")[len(sys.argv) - 1 :])
STEPS, EPOCHS, MINIBATCHES = 40, 4, 4
GAMMA, LAMBDA, CLIP, ENTROPY, LEARNING_RATE = 0.99, 0.95, 0.2, 0.01, 1e-3


class Agent(nn.Module):
    """Policy and value from an image [n, 7, 7, 3] and a mission [n, LENGTH]."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList(nn.Embedding(11, 8) for _ in range(3))  # type, colour and state of a cell
        self.image = nn.Linear(7 * 7 * 24, 128)
        self.words = nn.EmbeddingBag(len(VOCABULARY), 128, mode="mean", padding_idx=0)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.actor, self.critic = nn.Linear(128, 7), nn.Linear(128, 1)

    def forward(self, image: Tensor, mission: Tensor) -> tuple[torch.distributions.Categorical, Tensor]:
        """Distribution of actions, and values [n]."""
        cells = torch.cat([embed(image[..., channel]) for channel, embed in enumerate(self.cells)], dim=-1)
        hidden = self.head(self.image(cells.flatten(1)) * self.words(mission))
        return torch.distributions.Categorical(logits=self.actor(hidden)), self.critic(hidden)[:, 0]


def main() -> None:
    """Play, learn, print success and losses of every update."""
    torch.manual_seed(0)
    envs = gymnasium.make_vec(f"polyray/BabyAI-{LEVEL}-v0", num_envs=int(N), autoreset_mode="SameStep")
    agent = Agent()
    adam = torch.optim.Adam(agent.parameters(), lr=LEARNING_RATE, eps=1e-5)
    observations, _ = envs.reset(seed=0)
    for update in range(1, int(UPDATES) + 1):
        rows: dict[str, list[Tensor]] = {name: [] for name in ("image", "mission", "action", "logp", "value")}
        rewards, ends = np.zeros((STEPS, int(N)), np.float32), np.zeros((STEPS, int(N)), np.float32)
        for step in range(STEPS):
            image, mission = (torch.from_numpy(observations[name]).long() for name in ("image", "mission"))
            with torch.no_grad():
                policy, value = agent(image, mission)
                action = policy.sample()
            for name, tensor in zip(rows, (image, mission, action, policy.log_prob(action), value), strict=True):
                rows[name].append(tensor)
            observations, rewards[step], terminated, truncated, _ = envs.step(action.numpy())
            ends[step] = terminated | truncated
        with torch.no_grad():
            images, missions = (torch.from_numpy(observations[name]).long() for name in ("image", "mission"))
            following, advantage = agent(images, missions)[1], torch.zeros(int(N))
        advantages = torch.zeros(STEPS, int(N))
        for step in reversed(range(STEPS)):  # generalised advantage estimation
            alive = 1 - torch.from_numpy(ends[step])
            error = torch.from_numpy(rewards[step]) + GAMMA * following * alive - rows["value"][step]
            advantage = error + GAMMA * LAMBDA * alive * advantage
            advantages[step], following = advantage, rows["value"][step]
        batch = {name: torch.cat(tensors) for name, tensors in rows.items()}
        batch["advantage"] = advantages.flatten()
        returns = batch["advantage"] + batch["value"]
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(returns)).chunk(MINIBATCHES):
                policy, value = agent(batch["image"][chosen], batch["mission"][chosen])
                ratio = (policy.log_prob(batch["action"][chosen]) - batch["logp"][chosen]).exp()
                gain = batch["advantage"][chosen]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                surrogate = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
                value_loss = ((value - returns[chosen]) ** 2).mean()
                loss = -surrogate + 0.5 * value_loss - ENTROPY * policy.entropy().mean()
                adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                adam.step()
        success = (rewards > 0).sum() / max(ends.sum(), 1)
        print(
            f"update {update}  frames {update * ends.size}  success {success:.2f}  value loss {value_loss.item():.4f}"
        )


if __name__ == "__main__":
    main()
