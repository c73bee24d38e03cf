"""Time of a training step of Polytropon, plain LoRA and PEFT's Poly over that of the frozen backbone alone.

`plain` is one LoRA module for all tasks in nine lines without a library, `lora` is PEFT's. PEFT's models step with
torch's AdamW as it comes, and Poly a second time with its fused kernel, which Polyray uses.
One process, one thread, the variants in turn, so that ratios hold whatever else the machine does. `floor` is the frozen
backbone forward and backward through all activations, without modules and without an optimiser. CPU figures are
processor time, GPU figures wall time between synchronisations.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedModel, T5Config, T5ForConditionalGeneration

from benchmarks.table import show
from benchmarks.timing import Step, measure
from polyray.memory import KEEP_FREED
from polyray.modules.attach import attach
from polyray.modules.layout import Layout
from polyray.modules.lora import LoraOptions
from polyray.modules.presets import site_patterns
from polyray.modules.site import mixing
from polyray.routing.options import LearnedOptions
from polyray.routing.polytropon import PolytroponRouter

N_TASKS = 20


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of the batch, the modules and the inventory of a step."""

    batch: int
    read: int
    written: int
    rank: int
    skills: int
    tasks: int

    def __str__(self) -> str:
        return (
            f"batch {self.batch}, length {self.read}/{self.written}, rank {self.rank}, S {self.skills}, T {self.tasks}"
        )


def shapes() -> list[Shape]:
    """Rank 4 and 16, 8 and 32 skills, 2 and 16 tasks, at three sizes of batch."""
    every_shape = []
    for batch, read, written in ((16, 64, 64), (16, 16, 4), (2, 16, 4)):
        for rank in (4, 16):
            for skills in (8, 32):
                for tasks in (2,) if batch == 2 else (2, 16):
                    shape = Shape(batch=batch, read=read, written=written, rank=rank, skills=skills, tasks=tasks)
                    every_shape.append(shape)
    return every_shape


def t5() -> PreTrainedModel:
    """A random T5: width 256, 4 + 4 layers, 48 attention layers that carry modules."""
    config = T5Config(
        vocab_size=1024, d_model=256, d_kv=64, d_ff=1024, num_layers=4, num_heads=4, dropout_rate=0.0, pad_token_id=0,
        eos_token_id=1,
    )  # fmt: skip
    config.decoder_start_token_id = 0
    return _frozen(T5ForConditionalGeneration(config))


def bart_large() -> PreTrainedModel:
    """A random network of BART-large's shape: the paper's."""
    config = BartConfig(vocab_size=50265, dropout=0.0, attention_dropout=0.0, decoder_start_token_id=2)
    return _frozen(BartForConditionalGeneration(config))


def _frozen(model: PreTrainedModel) -> PreTrainedModel:
    return model.requires_grad_(False)


class PlainLora(nn.Module):
    """A frozen linear layer with one LoRA module for all tasks, in as few lines as it takes."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.layer, self.down = layer, nn.Linear(layer.in_features, rank, bias=False, device=layer.weight.device)
        self.up = nn.Linear(rank, layer.out_features, bias=False, device=layer.weight.device)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output and the module's."""
        outputs: Tensor = self.layer(x) + self.up(self.down(x))
        return outputs


class Case:
    """The variants of a step on one shape; those that call PEFT raise ImportError where it is missing."""

    def __init__(
        self, build: Callable[[], PreTrainedModel], shape: Shape, device: torch.device, half: bool = False
    ) -> None:
        """
        Args:
            half: compute the forward pass in bf16 (autocast).
        """
        self._build, self._shape, self._device = build, shape, device
        self._precision: Callable[[], contextlib.AbstractContextManager[object]] = (
            (lambda: torch.autocast(device.type, torch.bfloat16)) if half else contextlib.nullcontext
        )
        draw = torch.Generator().manual_seed(0)
        self._batch = {
            "input_ids": torch.randint(4, 1000, (shape.batch, shape.read), generator=draw).to(device),
            "attention_mask": torch.ones(shape.batch, shape.read, dtype=torch.long, device=device),
            "labels": torch.randint(4, 1000, (shape.batch, shape.written), generator=draw).to(device),
        }
        self._tasks = [index % shape.tasks for index in range(shape.batch)]

    def variants(self) -> dict[str, Step]:
        """A step of each, by name."""
        return {
            "floor": self.floor(), "plain": self.plain_lora(), "lora": self.lora(), "peft": self.peft(),
            "peft_fused": self.peft(fused=True), "polyray": self.polyray(),
        }  # fmt: skip

    def floor(self) -> Step:
        """The frozen backbone, gradients down to its embeddings' outputs."""
        model = self._model()
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.register_forward_hook(lambda _, __, output: output.requires_grad_(True))
        return lambda: self._loss(model).backward()

    def plain_lora(self) -> Step:
        """One LoRA module for all tasks, without a library."""
        model, targets = self._model(), set(self._targets())
        for name, layer in list(model.named_modules()):
            parent, _, child = name.rpartition(".")
            if child in targets:
                setattr(model.get_submodule(parent), child, PlainLora(layer, self._shape.rank))
        return self._stepper(model, {}, fused=True)

    def lora(self) -> Step:
        """PEFT's LoRA: one module for all tasks."""
        from peft import LoraConfig, get_peft_model  # noqa: PLC0415  (other variants do without PEFT)

        config = LoraConfig(task_type="SEQ_2_SEQ_LM", r=self._shape.rank, target_modules=self._targets())
        return self._stepper(get_peft_model(self._model(), config), {})

    def peft(self, fused: bool | None = None) -> Step:
        """PEFT's Poly."""
        from peft import PolyConfig, get_peft_model  # noqa: PLC0415

        config = PolyConfig(
            task_type="SEQ_2_SEQ_LM", r=self._shape.rank, n_tasks=N_TASKS, n_skills=self._shape.skills, n_splits=1,
            target_modules=self._targets(),
        )  # fmt: skip
        model = get_peft_model(self._model(), config)
        return self._stepper(model, {"task_ids": torch.tensor(self._tasks, device=self._device)}, fused)

    def polyray(self) -> Step:
        """The same inventory and routing, noise of its own for every example, in Polyray."""
        model, shape = self._model(), self._shape
        patterns = site_patterns(model.config.model_type, ["attention"], model)
        generator = torch.Generator().manual_seed(0)
        names = [f"task {number}" for number in range(N_TASKS)]
        router = PolytroponRouter(
            names, Layout.of(model, patterns), LearnedOptions(n_skills=shape.skills), generator
        ).to(self._device)
        options = LoraOptions(rank=shape.rank)
        inventory = attach(model, patterns, "lora", shape.skills, options, generator).to(self._device)
        adam = torch.optim.AdamW([*inventory.parameters(), *router.parameters()], lr=1e-3, fused=True)
        noise = torch.Generator(self._device).manual_seed(0)
        tasks = [names[task] for task in self._tasks]

        def step() -> None:
            adam.zero_grad(set_to_none=True)
            with mixing(inventory, router(tasks, noise)):
                self._loss(model).backward()
            adam.step()

        return step

    def _loss(self, model: nn.Module, **more: Any) -> Tensor:
        with self._precision():
            loss: Tensor = model(**self._batch, **more).loss
        return loss

    def _model(self) -> PreTrainedModel:
        model = self._build()
        torch.nn.Module.to(model, self._device)
        return model

    def _targets(self) -> list[str]:
        t5_names, bart_names = ["q", "k", "v", "o"], ["q_proj", "k_proj", "v_proj", "out_proj"]
        return t5_names if self._build is t5 else bart_names

    def _stepper(self, model: nn.Module, more: dict[str, Any], fused: bool | None = None) -> Step:
        adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, fused=fused)

        def step() -> None:
            adam.zero_grad(set_to_none=True)
            self._loss(model, **more).backward()
            adam.step()

        return step


def main() -> None:
    """Measure all shapes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    if not KEEP_FREED.items() <= os.environ.items():  # all variants run as Ray's workers do
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.routing", *sys.argv[1:]], os.environ | KEEP_FREED)
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cases = [(t5, shape) for shape in shapes()]
    if device.type == "cuda":
        cases += [(bart_large, Shape(batch=32, read=512, written=64, rank=16, skills=8, tasks=16))]
    rows = []
    for build, shape in cases:
        times = measure(Case(build, shape, device).variants(), arguments.rounds, device)
        rows.append(
            {
                "shape": f"{build.__name__}: {shape}",
                **{f"{name}_ms": value for name, value in times.items()},
                "over_floor": times["polyray"] / times["floor"],
                "over_plain": times["polyray"] / times["plain"],
                "over_lora": times["polyray"] / times["lora"],
                "over_peft": times["polyray"] / times["peft"],
                "over_peft_fused": times["polyray"] / times["peft_fused"],
            }
        )
    show(f"Training step on {device.type}", rows, arguments.json)


if __name__ == "__main__":
    main()
