"""Time of a layer whose rows have weights of their own: all rows in one product over one row after the other.

Forward and backward, the two in turn, one thread, processor time; `over_row_by_row` below 1 is what the fenced code in
`modules/fast/rowwise.py` saves.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.table import show
from benchmarks.timing import measure
from polyray.modules.layers import LAYERS
from polyray.modules.mix import Rows
from polyray.modules.rowwise import row_by_row

CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "Linear, batch 16, length 64": (lambda: nn.Linear(256, 256), lambda: torch.randn(16, 64, 256)),
    "Linear, batch 16, length 4": (lambda: nn.Linear(256, 256), lambda: torch.randn(16, 4, 256)),
    "Embedding, batch 16, length 64": (lambda: nn.Embedding(1000, 256), lambda: torch.randint(1000, (16, 64))),
    "Conv2d, batch 64, 7 x 7": (lambda: nn.Conv2d(32, 32, 3, padding=1), lambda: torch.randn(64, 32, 7, 7)),
    "GRUCell, batch 256": (lambda: nn.GRUCell(128, 128), lambda: torch.randn(256, 128)),
    "LSTMCell, batch 256": (lambda: nn.LSTMCell(128, 128), lambda: torch.randn(256, 128)),
}


def step(run: Callable[..., Any], layer: nn.Module, x: Tensor, n_rows: int) -> Callable[[], None]:
    """Forward and backward of `layer` with changes of all its parameters for every row."""
    rows = Rows([example * n_rows // len(x) for example in range(len(x))], n_rows, x.device)
    updates = {name: torch.zeros(n_rows, *p.shape).requires_grad_() for name, p in layer.named_parameters()}

    def forward_and_backward() -> None:
        output = run(layer, updates, rows, x)
        (output[0] if isinstance(output, tuple) else output).sum().backward()

    return forward_and_backward


def main() -> None:
    """Measure all layers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, (build, inputs) in CASES.items():
        layer, x = build().requires_grad_(False), inputs()
        if x.is_floating_point():
            x.requires_grad_()
        for n_rows in (1, 2, 16):
            runs = {"row_by_row": row_by_row, "batched": LAYERS[type(layer)]}
            times = measure({kind: step(run, layer, x, n_rows) for kind, run in runs.items()}, arguments.rounds)
            rows.append(
                {
                    "layer": name, "rows": n_rows, **{f"{kind}_ms": value for kind, value in times.items()},
                    "over_row_by_row": times["batched"] / times["row_by_row"],
                }
            )  # fmt: skip
    show("Layers with weights of their own for every row, cpu", rows, arguments.json)


if __name__ == "__main__":
    main()
