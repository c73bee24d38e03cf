"""Examples a second of the diagonal Fisher information: in batches, one by one, by torch's vmap, and a training step.

All on one random network (by default of T5-v1.1's form with 46 million parameters, encoder and decoder 64 tokens), the
ways in turn, one thread, processor time. `over_training` is a way's examples a second over those of the forward and
backward pass of a training step of the same batch; `error` the largest relative difference of a tensor from the sums of
single examples. The square of the batch's gradient is something else; it stands here because many programs take it.
"""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from benchmarks.table import show
from benchmarks.timing import measure
from polyray.fisher import BatchSquares, DiagonalFisher, fisher_plainly

VOCABULARY = 8192
EAGER = "eager"  # the attention that vmap can differentiate
Way = tuple[Callable[[], object], Callable[[], Mapping[str, Tensor]]]
"""A step over the batch, and the sums of squares after one step; empty where it sums none."""


def t5(width: int, layers: int) -> nn.Module:
    """T5-v1.1 with untied embeddings."""
    sizes: dict[str, Any] = {"vocab_size": VOCABULARY, "d_model": width, "d_ff": 2 * width, "d_kv": 64}
    config = T5Config(
        num_layers=layers, num_heads=width // 64, dropout_rate=0.0, feed_forward_proj="gated-gelu", **sizes
    )
    config._attn_implementation = EAGER
    model = T5ForConditionalGeneration(config)
    model.lm_head.weight = nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.02)
    model.eval()
    return model


def llama(width: int, layers: int) -> nn.Module:
    """A decoder with tied embeddings."""
    sizes: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": width, "intermediate_size": 3 * width}
    heads = width // 64
    config = LlamaConfig(num_hidden_layers=layers, num_attention_heads=heads, tie_word_embeddings=True, **sizes)
    config._attn_implementation = EAGER
    model = LlamaForCausalLM(config)
    model.eval()
    return model


NETWORKS: Mapping[str, Callable[[int, int], nn.Module]] = {"t5": t5, "llama": llama}


class Problem:
    """A network and a batch of random tokens with a loss for each example."""

    def __init__(self, kind: str, width: int, layers: int, batch: int, length: int) -> None:
        torch.manual_seed(0)
        self.network, self.batch = NETWORKS[kind](width, layers), batch
        self.ids, self.labels = (torch.randint(3, VOCABULARY, (batch, length)) for _ in range(2))
        self.writes = kind == "t5"
        self.parameters = dict(self.network.named_parameters())

    def losses(self, rows: slice = slice(None)) -> Tensor:
        """Negative log-likelihood of each example of some rows."""
        return self._nll(self.network, self.ids[rows], self.labels[rows])

    def of_example(self, parameters: Mapping[str, Tensor], ids: Tensor, labels: Tensor) -> Tensor:
        """The loss of one example as a function of the parameters, for `vmap`."""

        def call(**inputs: Any) -> Any:
            return functional_call(self.network, dict(parameters), (), inputs)

        return self._nll(call, ids.unsqueeze(0), labels.unsqueeze(0)).sum()

    def _nll(self, network: Callable[..., Any], ids: Tensor, labels: Tensor) -> Tensor:
        more = {"decoder_input_ids": labels} if self.writes else {}
        logits = network(input_ids=ids, use_cache=False, **more).logits
        losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.view(labels.shape).sum(1)


def in_batches(problem: Problem) -> Way:
    """The library's estimator."""
    fisher = DiagonalFisher(problem.network)
    return lambda: fisher.add(problem.losses, problem.batch), lambda: fisher.sums


def one_by_one(problem: Problem) -> Way:
    """A backward pass for each example."""
    examples = [partial(problem.losses, slice(n, n + 1)) for n in range(problem.batch)]
    sums: dict[str, Tensor] = {}
    return lambda: sums.update(fisher_plainly(problem.parameters, examples)), lambda: sums


def by_vmap(problem: Problem, chunk: int = 2) -> Way:
    """Gradients of each example by torch.func, `chunk` examples at once."""
    gradients = vmap(grad(problem.of_example), in_dims=(None, 0, 0), chunk_size=chunk)
    detached = {name: parameter.detach() for name, parameter in problem.parameters.items()}
    sums: dict[str, Tensor] = {}

    def step() -> None:
        of_examples = gradients(detached, problem.ids, problem.labels)
        sums.update({name: x.square().sum(0) for name, x in of_examples.items()})

    return step, lambda: sums


def training_step(problem: Problem) -> Way:
    """Forward and backward pass of the whole batch."""

    def step() -> None:
        problem.network.zero_grad(set_to_none=True)
        problem.losses().sum().backward()

    return step, dict


def squared_batch(problem: Problem) -> Way:
    """The square of the batch's gradient."""
    squares = BatchSquares(problem.network)
    return lambda: squares.add(lambda: problem.losses().sum(), 1), lambda: squares.sums


WAYS: Mapping[str, Callable[[Problem], Way]] = {
    "training step": training_step,
    "in batches": in_batches,
    "one by one": one_by_one,
    "vmap": by_vmap,
    "square of the batch": squared_batch,
}


def error(sums: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> float:
    """The largest relative difference of a tensor."""
    return max(float((sums[name] - x).norm() / x.norm().clamp_min(1e-30)) for name, x in exact.items())


def _quiet(step: Callable[[], object]) -> Callable[[], None]:
    """The step without what it returns."""

    def run() -> None:
        step()

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS), default="t5")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    problem = Problem(arguments.network, arguments.width, arguments.layers, arguments.batch, arguments.length)
    ways = {name: way(problem) for name, way in WAYS.items()}
    for step, _ in ways.values():
        step()
    exact = ways["one by one"][1]()
    errors = {name: error(sums(), exact) for name, (_, sums) in ways.items() if sums()}
    times = measure({name: _quiet(step) for name, (step, _) in ways.items()}, arguments.rounds)
    millions = sum(parameter.numel() for parameter in problem.parameters.values()) / 1e6
    rows = [
        {
            "way": name, "examples_per_s": 1000 * problem.batch / time, "ms_per_example": time / problem.batch,
            "over_training": times["training step"] / time, "error": f"{errors[name]:.0e}" if name in errors else "",
        }
        for name, time in times.items()
    ]  # fmt: skip
    title = f"Diagonal Fisher information, {arguments.network}, {millions:.1f} million parameters"
    show(title, rows, arguments.json)


if __name__ == "__main__":
    main()
