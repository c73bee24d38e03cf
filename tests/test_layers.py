"""The layers of the library: imports only go down, and each layer has its own third parties."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"polyray": ROOT / "platform" / "polyray"} | {
    f"polyray.{name}": ROOT / name for name in ("jobs", "envs", "tune_spaces")
}

GROUND, MATHEMATICS, DATA, TRAINING, RAY, DOORS = range(6)

# The longest prefix of a module's name decides its layer; a new module needs a line here.
LAYERS = {
    "polyray.errors": GROUND,
    "polyray.lookup": GROUND,
    "polyray.config": GROUND,
    "polyray.files": GROUND,
    "polyray.memory": GROUND,
    "polyray.modules": MATHEMATICS,
    "polyray.routing": MATHEMATICS,
    "polyray.merging": MATHEMATICS,
    "polyray.skill": MATHEMATICS,
    "polyray.card": MATHEMATICS,
    "polyray.library": MATHEMATICS,
    "polyray.interchange": MATHEMATICS,
    "polyray.sparsity": MATHEMATICS,
    "polyray.fisher": MATHEMATICS,
    "polyray.fingerprint": MATHEMATICS,
    "polyray.tasks": DATA,
    "polyray.metrics": DATA,
    "polyray.backbones": DATA,
    "polyray.batches": DATA,
    "polyray.decoding": DATA,
    "polyray.training": TRAINING,
    "polyray.reports": TRAINING,
    "polyray.rl": TRAINING,
    "polyray.cluster": RAY,
    "polyray.rl.rllib": RAY,
    "polyray.jobs": DOORS,
    "polyray.cli": DOORS,
    "polyray.__main__": DOORS,
}

# What a layer may import beside the standard library, and so may every layer above it.
THIRD_PARTIES = {
    GROUND: {"pydantic", "yaml"},
    MATHEMATICS: {"torch", "safetensors", "numpy", "scipy", "sklearn"},  # the last two for allocation analysis
    DATA: {"transformers", "datasets"},
    TRAINING: {"matplotlib", "tensorboard"},
    RAY: {"ray", "gymnasium", "rich"},  # rich: progress on the console that a job hands down
    DOORS: {"typer", "pydantic_core"},
}

# Beside the layers: nothing of Polyray but the ground, and these third parties.
BESIDE = {
    "polyray.envs": {"gymnasium", "minigrid", "numpy", "numba", "PIL"},
    "polyray.tune_spaces": {"ray"},
}
ABOVE = {"polyray.envs": RAY, "polyray.tune_spaces": DOORS}  # the lowest layer that may import them


def modules() -> dict[str, Path]:
    """Every module of Polyray by its name."""
    found = {}
    for package, folder in FOLDERS.items():
        for file in folder.rglob("*.py"):
            name = ".".join((package, *file.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            found[name] = file
    return found


MODULES = modules()


def layer(name: str) -> int | None:
    """The layer of the module called `name`, None where no line of LAYERS says."""
    if name == "polyray":
        return GROUND
    prefixes = [known for known in LAYERS if name == known or name.startswith((f"{known}.", f"{known}_"))]
    # the underscore: polyray.rl.rllib_module and polyray.cli_skills are named after their layer, not in a folder of it
    return LAYERS[max(prefixes, key=len)] if prefixes else None


def beside(name: str) -> str | None:
    """The package beside the layers that holds `name`, if one does."""
    return next((package for package in BESIDE if f"{name}.".startswith(f"{package}.")), None)


def imported(name: str, file: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that the module `name` imports."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield node.lineno, whole if whole in MODULES else source


def forbidden(name: str, target: str) -> str | None:
    """Why the module `name` may not import `target`, None if it may."""
    top = target.partition(".")[0]
    own = beside(name)
    if top == "polyray":
        if target == "polyray":
            return None
        if own is not None:
            allowed = beside(target) == own or layer(target) == GROUND
            return None if allowed else f"{own} stands beside the layers"
        mine, theirs = layer(name), ABOVE.get(beside(target) or "", layer(target))
        assert mine is not None
        if theirs is None:
            return "it is in no layer"
        return None if theirs <= mine else f"layer {mine} may not import layer {theirs}"
    if top in sys.stdlib_module_names:
        return None
    mine = layer(name)
    may = BESIDE[own] if own else {party for level in range((mine or 0) + 1) for party in THIRD_PARTIES[level]}
    return None if top in may else f"{top} is not among {sorted(may)}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_has_a_layer(name: str) -> None:
    assert layer(name) is not None or beside(name) is not None, f"give {name} a line in LAYERS"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_only_go_down(name: str) -> None:
    wrong = [
        f"{MODULES[name].relative_to(ROOT)}:{line} imports {target}: {why}"
        for line, target in imported(name, MODULES[name])
        if (why := forbidden(name, target)) is not None
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_import_stands_inside_a_function(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    inside = [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inside, f"{MODULES[name].relative_to(ROOT)}: imports inside functions in lines {inside}"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("polyray.modules.lora", "ray"),
        ("polyray.modules.lora", "polyray.tasks.task"),
        ("polyray.errors", "torch"),
        ("polyray.training.loop", "polyray.cluster.train"),
        ("polyray.rl.policy", "ray.rllib"),
        ("polyray.tasks.task", "polyray.jobs.job"),
        ("polyray.envs.levels", "torch"),
        ("polyray.envs.levels", "polyray.modules"),
        ("polyray.modules.lora", "polyray.envs"),
        ("polyray.rl.policy", "polyray.envs"),
        ("polyray.tune_spaces.lora", "polyray.training"),
    ],
)
def test_an_import_that_goes_up_is_found(name: str, target: str) -> None:
    assert forbidden(name, target) is not None


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("polyray.rl.rllib_module", "ray.rllib"),
        ("polyray.jobs.compare", "polyray.cluster.train"),
        ("polyray.cluster.train", "torch"),
        ("polyray.envs.levels", "polyray.errors"),
        ("polyray.jobs.babyai", "polyray.envs"),
        ("polyray.rl.rllib_runner", "polyray.envs"),
        ("polyray.routing", "polyray.modules.layout"),
    ],
)
def test_an_import_that_goes_down_is_allowed(name: str, target: str) -> None:
    assert forbidden(name, target) is None


def test_the_folder_platform_is_no_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists(), "it would hide the standard library's `platform`"


def test_every_package_folder_has_an_init() -> None:
    folders = {file.parent for file in MODULES.values()}
    missing = [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()]
    assert not missing
