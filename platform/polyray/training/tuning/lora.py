"""LoRA: low-rank modules on the frozen backbone, one skill for all tasks."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import nn

from polyray.config import Section
from polyray.modules.attach import attach
from polyray.modules.lora import LoraOptions
from polyray.modules.matching import match
from polyray.modules.presets import site_patterns
from polyray.routing import FixedRouter
from polyray.skills.skill import Skill
from polyray.training.model import Modular
from polyray.training.tuning.phases import ModulesPhase
from polyray.training.tuning.skills import skill_of_modules
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import ONLY, Phase, Stage


class LoraTuningOptions(LoraOptions):
    """The choices of LoRA, and the layers that carry it."""

    n_splits: Literal[1] = 1
    """One block of inputs and outputs: nothing is routed."""
    sites: tuple[str, ...] = ("attention",)
    """Layers that carry modules: parts of the backbone (attention, ffn, all) or patterns of layer names."""
    heads: Literal["dense", "frozen"] = "dense"
    """Heads: all of their entries are trained and saved, or they stay as they are."""


class Lora:
    """Low-rank adaptation (Hu et al. 2021)."""

    about: ClassVar[str] = "low-rank modules on the frozen backbone (LoRA)"
    Options: ClassVar[type[Section]] = LoraTuningOptions

    def __init__(self, options: LoraTuningOptions, steps: int) -> None:
        self._options, self._steps = options, steps
        self._model: Modular | None = None

    def check(self, network: nn.Module, family: str) -> None:
        """Refuse sites that the network lacks."""
        match(network, site_patterns(family, self._options.sites, network))

    def plan(self) -> Sequence[Stage]:
        """The one phase."""
        return (Stage(name=ONLY, steps=self._steps),)

    def phases(self, start: TuningStart) -> Iterator[Phase]:
        """Training of the modules; see `Tuning`."""
        backbone = start.model.backbone
        patterns = site_patterns(backbone.family, self._options.sites, backbone.network)
        options = LoraOptions.model_validate(self._options.model_dump(include=set(LoraOptions.model_fields)))
        inventory = attach(backbone.network, patterns, "lora", 1, options, start.generator)
        tasks = start.model.router.tasks.names
        self._model = Modular(
            backbone, inventory, FixedRouter(tasks, torch.ones(len(tasks), 1)), dict(start.model.heads)
        )
        self._model.to(start.worker.device)
        yield ModulesPhase(start, self._model, heads=self._options.heads == "dense")

    def skill(self, start: TuningStart) -> Skill:
        """The modules and the heads."""
        assert self._model is not None  # its phase has ended
        return skill_of_modules(self._model)
