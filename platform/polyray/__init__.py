"""Polyray: train, route, adapt, evaluate and share skills, small modules on a pretrained backbone.

The names in `__all__` are what a notebook needs; each is imported when it is first used, so that `import polyray` and
the command's help stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from polyray.analysis.allocation import analyse
    from polyray.backbones import Backbone, load_backbone
    from polyray.errors import InputError, PolyrayError
    from polyray.modules.attach import Inventory, attach, detach
    from polyray.modules.bottleneck import BottleneckOptions
    from polyray.modules.dense import DenseOptions
    from polyray.modules.ia3 import Ia3Options
    from polyray.modules.kinds import MODULES
    from polyray.modules.layout import Layout
    from polyray.modules.lora import LoraOptions
    from polyray.modules.mix import Mix
    from polyray.modules.options import SkillOptions
    from polyray.modules.prefix import PrefixOptions
    from polyray.modules.site import mixing, without_skills
    from polyray.modules.sparse import SparseOptions
    from polyray.objectives import EvaluationOptions, TextOptions
    from polyray.routing import ROUTERS, RoutingOptions
    from polyray.routing.fixed import ExpertRouter, PrivateRouter, SharedRouter
    from polyray.routing.hard import HardRouter
    from polyray.routing.hyperformer import HyperFormer
    from polyray.routing.options import LearnedOptions
    from polyray.routing.polytropon import PolytroponRouter
    from polyray.routing.soft import SoftRouter
    from polyray.routing.token_moe import TokenMoE
    from polyray.skills.blending import recompute
    from polyray.skills.card import BackboneCard, Card
    from polyray.skills.delta import delta, fold
    from polyray.skills.form import TaskForm
    from polyray.skills.inventory import Provenance, load_inventory, save_inventory
    from polyray.skills.lifting import lift
    from polyray.skills.peft import export_peft, import_peft
    from polyray.skills.skill import Skill, load_skill, save_skill
    from polyray.skills.spec import InventorySpec
    from polyray.tasks import Suite, Task, TasksOptions, TextAnswers, load_suite
    from polyray.training.adaptation import FewShotData, adapt
    from polyray.training.data import encoded
    from polyray.training.evaluation import predictions, score
    from polyray.training.loop import Training, fit
    from polyray.training.methods import AdaptationOptions
    from polyray.training.model import Modular, build, load_model
    from polyray.training.optimizers import OptimizerOptions, optimizer
    from polyray.training.prediction import Predictor, predict
    from polyray.training.recipe import TrainingOptions

_MODULES = {
    "polyray.analysis.allocation": ("analyse",),
    "polyray.backbones": ("Backbone", "load_backbone"),
    "polyray.errors": ("InputError", "PolyrayError"),
    "polyray.modules.attach": ("Inventory", "attach", "detach"),
    "polyray.modules.bottleneck": ("BottleneckOptions",),
    "polyray.modules.dense": ("DenseOptions",),
    "polyray.modules.ia3": ("Ia3Options",),
    "polyray.modules.kinds": ("MODULES",),
    "polyray.modules.layout": ("Layout",),
    "polyray.modules.lora": ("LoraOptions",),
    "polyray.modules.mix": ("Mix",),
    "polyray.modules.options": ("SkillOptions",),
    "polyray.modules.prefix": ("PrefixOptions",),
    "polyray.modules.site": ("mixing", "without_skills"),
    "polyray.modules.sparse": ("SparseOptions",),
    "polyray.objectives": ("EvaluationOptions", "TextOptions"),
    "polyray.routing": ("ROUTERS", "RoutingOptions"),
    "polyray.routing.fixed": ("ExpertRouter", "PrivateRouter", "SharedRouter"),
    "polyray.routing.hard": ("HardRouter",),
    "polyray.routing.hyperformer": ("HyperFormer",),
    "polyray.routing.options": ("LearnedOptions",),
    "polyray.routing.polytropon": ("PolytroponRouter",),
    "polyray.routing.soft": ("SoftRouter",),
    "polyray.routing.token_moe": ("TokenMoE",),
    "polyray.skills.blending": ("recompute",),
    "polyray.skills.card": ("BackboneCard", "Card"),
    "polyray.skills.delta": ("delta", "fold"),
    "polyray.skills.form": ("TaskForm",),
    "polyray.skills.inventory": ("Provenance", "load_inventory", "save_inventory"),
    "polyray.skills.lifting": ("lift",),
    "polyray.skills.peft": ("export_peft", "import_peft"),
    "polyray.skills.skill": ("Skill", "load_skill", "save_skill"),
    "polyray.skills.spec": ("InventorySpec",),
    "polyray.tasks": ("Suite", "Task", "TasksOptions", "TextAnswers", "load_suite"),
    "polyray.training.adaptation": ("FewShotData", "adapt"),
    "polyray.training.data": ("encoded",),
    "polyray.training.evaluation": ("predictions", "score"),
    "polyray.training.loop": ("Training", "fit"),
    "polyray.training.methods": ("AdaptationOptions",),
    "polyray.training.model": ("Modular", "build", "load_model"),
    "polyray.training.optimizers": ("OptimizerOptions", "optimizer"),
    "polyray.training.prediction": ("Predictor", "predict"),
    "polyray.training.recipe": ("TrainingOptions",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "MODULES",
    "ROUTERS",
    "AdaptationOptions",
    "Backbone",
    "BackboneCard",
    "BottleneckOptions",
    "Card",
    "DenseOptions",
    "EvaluationOptions",
    "ExpertRouter",
    "FewShotData",
    "HardRouter",
    "HyperFormer",
    "Ia3Options",
    "InputError",
    "Inventory",
    "InventorySpec",
    "Layout",
    "LearnedOptions",
    "LoraOptions",
    "Mix",
    "Modular",
    "OptimizerOptions",
    "PolyrayError",
    "PolytroponRouter",
    "Predictor",
    "PrefixOptions",
    "PrivateRouter",
    "Provenance",
    "RoutingOptions",
    "SharedRouter",
    "Skill",
    "SkillOptions",
    "SoftRouter",
    "SparseOptions",
    "Suite",
    "Task",
    "TaskForm",
    "TasksOptions",
    "TextAnswers",
    "TextOptions",
    "TokenMoE",
    "Training",
    "TrainingOptions",
    "__version__",
    "adapt",
    "analyse",
    "attach",
    "build",
    "delta",
    "detach",
    "encoded",
    "export_peft",
    "fit",
    "fold",
    "import_peft",
    "lift",
    "load_backbone",
    "load_inventory",
    "load_model",
    "load_skill",
    "load_suite",
    "mixing",
    "optimizer",
    "predict",
    "predictions",
    "recompute",
    "save_inventory",
    "save_skill",
    "score",
    "without_skills",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'polyray' has no attribute {name!r}")
    value = vars(import_module(_HOME[name]))[name]
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
