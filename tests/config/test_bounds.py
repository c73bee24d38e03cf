"""Defaults of the options of training, skills and routing, and the least and the most that each accepts."""

from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt

from polyray.config import Section
from polyray.modules.kinds import MODULES
from polyray.objectives import TextOptions, ValidationOptions
from polyray.routing import ROUTERS
from polyray.training.methods import AdaptationOptions
from polyray.training.recipe import TrainingOptions

GROUPS: dict[str, list[type[Section]]] = {
    "modules": [kind.Options for kind in MODULES.values()],
    "routing": [router.Options for router in ROUTERS.values()],
    "text": [TextOptions],
    "evaluation": [ValidationOptions],
    "training": [TrainingOptions],
    "adapt": [AdaptationOptions],
}
BOUNDS: dict[str, dict[str, str]] = {
    "modules": {"density": "> 0, <= 1", "rank length n_splits reduction": ">= 1", "init": ">= 0", "alpha": "> 0"},
    "routing": {"n_skills top": ">= 1", "ibp": ">= 0", "ibp_alpha temperature": "> 0"},
    "text": {"max_input max_output": ">= 1", "stride max_history max_knowledge": ">= 0"},
    "evaluation": {
        "beams batch": ">= 1", "max_examples every dev_examples no_repeat_ngram top_k seed": ">= 0",
        "temperature": "> 0", "top_p": "> 0, <= 1",
    },
    "training": {
        "steps batch accumulate report_every save_every": ">= 1", "weight_decay backbone_lr": ">= 0",
        "lr routing_lr clip": "> 0", "warmup task_power": ">= 0, <= 1", "beta2": "> 0, < 1",
    },
    "adapt": {
        "steps batch looks stack": ">= 1", "weight_decay gpus": ">= 0", "lr routing_lr clip": "> 0",
        "warmup": ">= 0, <= 1", "beta2": "> 0, < 1",
    },
}  # fmt: skip
DEFAULTS: dict[str, dict[str, Any]] = {
    "modules": {"rank": 16, "alpha": 1.0, "n_splits": 1, "density": 0.1, "init": 0.0, "length": 8, "reduction": 2.0},
    "routing": {
        "n_skills": 8, "granularity": "site", "sample": "example", "temperature": 1.0, "top": 2, "allocation": {},
        "ibp": 0.0, "ibp_alpha": 5.0, "ibp_columns": "exact", "ibp_centred": True,
    },
    "text": {
        "max_input": 512, "max_output": 64, "too_long": "error", "stride": 128, "max_history": 384,
        "max_knowledge": 128, "layout": "auto", "packing": False,
    },
    "evaluation": {
        "method": "auto", "tree": "mst", "beams": 1, "length_penalty": None, "no_repeat_ngram": None,
        "sample": False, "temperature": 1.0, "top_k": None, "top_p": None, "seed": 0, "batch": 64, "max_examples": 0,
        "every": 0, "dev_examples": 16,
    },
    "training": {
        "steps": 1000, "batch": 32, "accumulate": 1, "lr": 1e-3, "routing_lr": 1e-1, "backbone_lr": 0.0,
        "weight_decay": 0.01, "warmup": 0.06, "clip": 1.0, "beta2": 0.999, "task_power": 1.0, "precision": "fp32",
        "checkpointing": False, "strategy": "ddp", "seed": 0, "report_every": 50, "save_every": 500,
        "keep": "last", "schedule": "",
    },
    "adapt": {
        "methods": ("skills",), "tasks": "test", "seeds": (), "steps": 1000, "batch": 8, "lr": 1e-3, "rates": (),
        "routing_lr": 1e-1, "weight_decay": 0.01, "warmup": 0.06, "clip": 1.0, "beta2": 0.999, "looks": 10, "seed": 0,
        "gpus": 0, "routing_rates": (), "choose": "split", "stack": 8,
    },
}  # fmt: skip
SIGNS = {Ge: ">= {0.ge}", Gt: "> {0.gt}", Le: "<= {0.le}", Lt: "< {0.lt}"}


def bounds(options: type[Section]) -> dict[str, str]:
    """The bounds of each option that has some, as a reader would write them."""
    texts = {
        name: ", ".join(SIGNS[type(bound)].format(bound) for bound in field.metadata if type(bound) in SIGNS)
        for name, field in options.model_fields.items()
    }
    return {name: text for name, text in texts.items() if text}


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_has_its_bounds(group: str) -> None:
    expected = {name: text for names, text in BOUNDS[group].items() for name in names.split()}
    wrong = [
        f"{options.__name__}.{name} {text}, expected {expected.get(name)}"
        for options in GROUPS[group]
        for name, text in bounds(options).items()
        if expected.get(name) != text
    ]
    missing = expected.keys() - {name for options in GROUPS[group] for name in bounds(options)}
    assert not wrong and not missing, (wrong, missing)


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_has_its_default(group: str) -> None:
    defaults = {
        (options.__name__, name): field.get_default(call_default_factory=True)
        for options in GROUPS[group]
        for name, field in options.model_fields.items()
    }
    expected = DEFAULTS[group]
    wrong = {f"{options}.{name}": value for (options, name), value in defaults.items() if value != expected[name]}
    assert not wrong and {name for _, name in defaults} == expected.keys()
