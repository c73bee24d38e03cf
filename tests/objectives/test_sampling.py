"""Labels drawn from the network depend on the example and its generator alone, not on the batch."""

from collections.abc import Sequence
from typing import Any

import torch
from gathering import for_cases
from torch import Tensor

from polyray.backbones import load_backbone
from polyray.objectives import OBJECTIVES, TextOptions
from polyray.objectives.sampling import SAMPLINGS
from polyray.tasks import DialogueExample, Task, TextAnswers, Turn
from polyray.training.model import Modular, bare

TEXTS = (("one two", "yes"), ("a much longer input than the others", "no"), ("b", "maybe it is so"))
TASK = Task(name="t", category="", metric="ACC", labels=None, seeds=(0,), read=lambda *_: (), has_choices=True)
EXAMPLES = [TextAnswers(task="t", input=x, outputs=(y,), choices=("yes", "maybe it is so", "no")) for x, y in TEXTS]


TURNS = (Turn(speaker="user", text="Hi."), Turn(speaker="system", text="Yes?"))
DIALOGUES = [
    DialogueExample(task="t", history=TURNS[:n], knowledge=(x,), outputs=(y,), location="")
    for n, (x, y) in enumerate(TEXTS)
]


def rows_of(backbone: str, objective: str) -> tuple[Modular, list[Any]]:
    """A network, and the examples as rows of an objective."""
    loaded = load_backbone(backbone)
    examples: list[Any] = list(DIALOGUES if objective in ("dialogue", "chat") else EXAMPLES)
    rows = OBJECTIVES[objective].encode(loaded, {"t": TASK}, examples, TextOptions())
    return bare(loaded, ["t"]).eval(), rows


def drawn(model: Modular, name: str, rows: Sequence[Any], seeds: Sequence[int]) -> Tensor:
    batch = OBJECTIVES[name].collate(model.backbone, rows)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    with torch.no_grad():
        return SAMPLINGS[name].losses(model, batch, generators)


@for_cases(
    [
        *({"backbone": name, "name": objective} for name in ("tiny-seq2seq", "tiny-causal")
          for objective in ("answers", "dialogue")),
        {"backbone": "tiny-causal", "name": "chat"}, {"backbone": "tiny-encoder", "name": "choices"},
    ]
)  # fmt: skip
def test_draws_do_not_depend_on_the_batch(backbone: str, name: str) -> None:
    model, rows = rows_of(backbone, name)
    together = drawn(model, name, rows, [5, 6, 7])
    alone = torch.cat([drawn(model, name, [row], [seed]) for row, seed in zip(rows, [5, 6, 7], strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    turned = drawn(model, name, rows[::-1], [7, 6, 5])
    torch.testing.assert_close(turned.flip(0), alone, rtol=1e-4, atol=1e-5)
    others = [drawn(model, name, rows, [seed, seed + 1, seed + 2]) for seed in range(10, 20)]
    assert any(not torch.allclose(x, together, rtol=1e-2) for x in others)
