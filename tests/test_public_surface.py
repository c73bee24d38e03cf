"""The names that `import polyray` offers: pinned, there, and slow to load only when they are used."""

import subprocess
import sys

import pytest

import polyray

SURFACE = """
    AdaptationOptions Backbone BackboneCard BottleneckOptions Card DenseOptions EvaluationOptions ExpertRouter
    FewShotData HardRouter HyperFormer Ia3Options InputError Inventory InventorySpec Layout LearnedOptions LoraOptions
    MODULES Mix Modular OptimizerOptions PolyrayError PolytroponRouter Predictor PrefixOptions PrivateRouter Provenance
    ROUTERS RoutingOptions SharedRouter Skill SkillOptions SoftRouter SparseOptions Suite Task TaskForm TasksOptions
    TextAnswers TextOptions TokenMoE Training TrainingOptions __version__ adapt analyse attach build delta detach
    encoded
    export_peft fit fold import_peft lift load_backbone load_inventory load_model load_skill load_suite mixing optimizer
    predict predictions recompute save_inventory save_skill score without_skills
"""


def test_the_surface_is_the_one_that_is_pinned_here() -> None:
    assert sorted(polyray.__all__) == sorted(SURFACE.split())


def test_every_name_is_there_and_comes_from_where_the_type_checker_thinks() -> None:
    missing = [name for name in polyray.__all__ if getattr(polyray, name, None) is None]
    assert missing == []
    with pytest.raises(AttributeError, match="module 'polyray' has no attribute 'atach'"):
        _ = polyray.atach


def test_importing_polyray_loads_neither_torch_nor_ray() -> None:
    look = "import sys, polyray; sys.exit(1 if {'torch', 'ray', 'transformers', 'numpy'} & sys.modules.keys() else 0)"
    subprocess.run([sys.executable, "-c", look], check=True)
