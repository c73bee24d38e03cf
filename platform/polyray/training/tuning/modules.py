"""Modules on the frozen backbone, one skill for all tasks: LoRA, bottlenecks, MAD-X."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from polyray.config import Section
from polyray.modules.attach import attach
from polyray.modules.bottleneck import BottleneckOptions
from polyray.modules.kinds import MODULES
from polyray.modules.lora import LoraOptions
from polyray.modules.mad_x import MadXOptions
from polyray.modules.matching import match
from polyray.modules.presets import site_patterns
from polyray.routing import FixedRouter
from polyray.skills.skill import Skill
from polyray.training.model import Modular
from polyray.training.tuning.phases import ModulesPhase
from polyray.training.tuning.skills import skill_of_modules
from polyray.training.tuning.start import TuningStart
from polyray.training.tuning.tuning import ONLY, Phase, Stage

Heads = Literal["dense", "frozen"]


class LoraTuningOptions(LoraOptions):
    """The choices of LoRA, and the layers that carry it."""

    n_splits: Literal[1] = 1
    """One block of inputs and outputs: nothing is routed."""
    sites: tuple[str, ...] = ("attention",)
    """Layers that carry modules: parts of the backbone (attention, ffn, all) or patterns of layer names."""
    heads: Heads = "dense"
    """Heads: all of their entries are trained and saved, or they stay as they are."""


class BottleneckTuningOptions(BottleneckOptions):
    """The choices of bottleneck adapters, and the layers that carry them."""

    sites: tuple[str, ...] = ("pfeiffer",)
    """Layers that carry modules: parts of the backbone (pfeiffer, houlsby) or patterns of layer names."""
    heads: Heads = "dense"
    """Heads: all of their entries are trained and saved, or they stay as they are."""


class MadXTuningOptions(MadXOptions):
    """The choices of MAD-X's language adapters, and the layers that carry them."""

    sites: tuple[str, ...] = Field(("pfeiffer", "embeddings.LayerNorm"), min_length=1)
    """Layers that carry modules: bottlenecks behind linear ones, an invertible adapter behind the layer norm of the
    embeddings."""
    heads: Heads = "dense"
    """Heads: all of their entries are trained and saved, or they stay as they are."""


class ModuleTuning:
    """Training of fresh modules, above those of the skills that lie beneath.

    kind: key of MODULES.
    """

    about: ClassVar[str]
    Options: ClassVar[type[Section]]
    kind: ClassVar[str]
    changes_weights: ClassVar[bool]

    def __init__(self, options: Any, steps: int) -> None:
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
        form = MODULES[self.kind].Options
        options = form.model_validate(self._options.model_dump(include=set(form.model_fields)))
        inventory = attach(backbone.network, patterns, self.kind, 1, options, start.generator, on_top=True)
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


class Lora(ModuleTuning):
    """Low-rank adaptation (Hu et al. 2021)."""

    about: ClassVar[str] = "low-rank modules on the frozen backbone (LoRA)"
    Options: ClassVar[type[Section]] = LoraTuningOptions
    kind: ClassVar[str] = "lora"
    changes_weights: ClassVar[bool] = True


class Bottleneck(ModuleTuning):
    """Bottleneck adapters (Houlsby et al. 2019; Pfeiffer et al. 2021), MAD-X's adapters of tasks."""

    about: ClassVar[str] = "bottleneck adapters on the frozen backbone, above the skills beneath"
    Options: ClassVar[type[Section]] = BottleneckTuningOptions
    kind: ClassVar[str] = "bottleneck"
    changes_weights: ClassVar[bool] = False


class MadX(ModuleTuning):
    """MAD-X's adapters of languages (Pfeiffer et al. 2020), to be trained on raw text."""

    about: ClassVar[str] = "language adapters of MAD-X: bottlenecks, and an invertible adapter at the embeddings"
    Options: ClassVar[type[Section]] = MadXTuningOptions
    kind: ClassVar[str] = "mad_x"
    changes_weights: ClassVar[bool] = False
