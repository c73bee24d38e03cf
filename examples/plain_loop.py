"""A plain PyTorch loop with skills: four regressions that two skills explain, and a router that has to find out.

The backbone may be any torch network; here it is a frozen random one. Task `both` needs the two changes of the network
that tasks `first` and `second` need, `neither` needs none.
"""

import torch

from polyray import Layout, LearnedOptions, LoraOptions, PolytroponRouter, attach, mixing

TASKS = {"neither": (0.0, 0.0), "first": (1.0, 0.0), "second": (0.0, 1.0), "both": (0.5, 0.5)}


def main() -> None:
    """Train, and print the loss and the allocation."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    backbone = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
    backbone.requires_grad_(False)
    changes = 0.3 * torch.randn(2, 8, 4, generator=generator)
    x = torch.randn(64, 8, generator=generator)
    targets = {task: backbone(x) + x @ torch.tensordot(torch.tensor(w), changes, 1) for task, w in TASKS.items()}

    sites = ["0", "2"]  # layers of the backbone that carry skills
    options = LearnedOptions(n_skills=3, granularity="model")
    router = PolytroponRouter(list(TASKS), Layout.of(backbone, sites), options, generator)
    inventory = attach(backbone, sites, "lora", router.n_skills, LoraOptions(rank=4), generator)
    adam = torch.optim.Adam(
        [{"params": inventory.parameters(), "lr": 1e-2}, {"params": router.parameters(), "lr": 5e-2}]
    )
    for step in range(301):
        tasks = [task for task in TASKS for _ in range(16)]
        rows = torch.randint(64, (16,), generator=generator)
        with mixing(inventory, router(tasks, generator)):  # forward, loss and backward inside
            outputs = backbone(x[rows].repeat(len(TASKS), 1))
            loss = torch.nn.functional.mse_loss(outputs, torch.cat([targets[task][rows] for task in TASKS]))
            loss.backward()
        adam.step()
        adam.zero_grad()
        if step % 100 == 0:
            print(f"step {step:3}  loss {loss.item():.3f}")

    print("probability that a task uses each skill:")
    for task, row in zip(TASKS, router.allocation().probabilities[0], strict=True):
        print(f"{task:8}", " ".join(f"{cell:.2f}" for cell in row))


if __name__ == "__main__":
    main()
