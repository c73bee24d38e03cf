"""The least and the most that an option of training, skills and routing accepts."""

import pytest
from annotated_types import Ge, Gt, Le, Lt

from polyray.config import Section
from polyray.modules.kinds import MODULES
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.routing import ROUTERS
from polyray.training.adaptation import AdaptationOptions
from polyray.training.recipe import TrainingOptions

GROUPS: dict[str, list[type[Section]]] = {
    "modules": [kind.Options for kind in MODULES.values()],
    "routing": [router.Options for router in ROUTERS.values()],
    "text": [TextOptions],
    "evaluation": [EvaluationOptions],
    "training": [TrainingOptions],
    "adapt": [AdaptationOptions],
}
BOUNDS: dict[str, dict[str, str]] = {
    "modules": {"density": "> 0, <= 1", "rank length n_splits": ">= 1", "init": ">= 0", "alpha": "> 0"},
    "routing": {"n_skills top": ">= 1", "ibp": ">= 0", "ibp_alpha temperature": "> 0"},
    "text": {"max_input max_output": ">= 1"},
    "evaluation": {"beams batch": ">= 1", "max_examples": ">= 0", "temperature": "> 0"},
    "training": {
        "steps batch accumulate report_every save_every": ">= 1", "weight_decay backbone_lr": ">= 0",
        "lr routing_lr clip": "> 0", "warmup task_power": ">= 0, <= 1", "beta2": "> 0, < 1",
    },
    "adapt": {
        "steps batch looks": ">= 1", "weight_decay gpus": ">= 0", "lr routing_lr clip": "> 0", "warmup": ">= 0, <= 1",
        "beta2": "> 0, < 1",
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
