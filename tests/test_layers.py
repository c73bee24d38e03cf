"""The floors of the library: imports only go down, and each floor has its own third parties."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"polyray": ROOT / "platform" / "polyray"} | {
    f"polyray.{name}": ROOT / name for name in ("jobs", "envs", "tune_spaces")
}

# From the ground up: the packages of a floor, and the third parties that it and all floors above it may import.
FLOORS: list[tuple[set[str], set[str]]] = [
    (
        {"errors", "lookup", "config", "formats", "files", "lines", "progress", "memory", "reuse"},
        {"pydantic", "yaml", "rich"},
    ),
    ({"analysis", "sparsity"}, {"torch", "numpy", "scipy", "sklearn"}),
    ({"runs"}, {"fsspec", "safetensors", "tensorboard", "pydantic_core"}),
    ({"tracking"}, {"mlflow", "wandb", "aim", "trackio"}),
    ({"modules"}, {"transformers"}),
    ({"routing"}, set()),
    ({"fisher"}, set()),
    ({"skills"}, set()),
    ({"metrics", "tasks"}, {"datasets", "sacrebleu"}),
    ({"backbones"}, {"jinja2"}),
    ({"merging"}, set()),
    ({"decoding", "objectives"}, set()),
    ({"training"}, set()),
    ({"judges"}, {"spacy"}),
    ({"responding"}, set()),
    ({"rl"}, set()),
    ({"sweeps"}, {"optuna"}),
    ({"tune_spaces"}, set()),
    ({"reports"}, {"matplotlib"}),
    ({"cluster"}, {"aiohttp", "ray", "gymnasium"}),
    ({"jobs"}, set()),
    ({"cli", "__main__"}, {"typer"}),
]
ENVS = {"gymnasium", "minigrid", "numpy", "numba", "PIL"}  # beside the floors: of Polyray it imports the ground only
FIRST_WITH_ENVS = "rl"  # the lowest floor that imports envs
ENV_FLOORS = ("", "engine", "generation", "starts", "minigrid")  # folders of envs, from the ground up

# Imports inside functions: libraries that cost a worker's start a tenth of a second and more and that few callers need,
# and Polyray's own modules over RLlib, minigrid and Optuna.
LATE = {
    "torch.distributed", "torch.utils.tensorboard", "transformers", "scipy", "sklearn", "datasets", "fsspec", "jinja2",
    "ray", "matplotlib", "sacrebleu", "spacy", "aim", "mlflow", "peft", "tensorboard", "trackio", "wandb",
    "polyray.cluster.rllib.algorithm",
    "polyray.envs.minigrid", "polyray.envs.starts.reference", "polyray.sweeps.importance",
    "polyray.sweeps.searchers.study",
}  # fmt: skip


def modules() -> dict[str, Path]:
    """Every module of Polyray by its name."""
    files = {}
    for package, folder in FOLDERS.items():
        for file in folder.rglob("*.py"):
            name = ".".join((package, *file.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            files[name] = file
    return files


MODULES = modules()


def floor(name: str) -> int | None:
    """The floor of the module called `name`; None where FLOORS has no line for its package."""
    parts = name.split(".")
    if parts == ["polyray"]:
        return len(FLOORS) - 1  # the public surface
    return next((number for number, (packages, _) in enumerate(FLOORS) if parts[1] in packages), None)


def is_env(name: str) -> bool:
    return f"{name}.".startswith("polyray.envs.")


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
    mine = floor(name) if not is_env(name) else None
    if top == "polyray":
        if is_env(name):
            return None if is_env(target) or floor(target) == 0 else "envs stands beside the floors"
        assert mine is not None, name
        if is_env(target):
            return None if mine >= (floor(f"polyray.{FIRST_WITH_ENVS}") or 0) else "envs is imported from rl upwards"
        if target == "polyray":  # the version
            return None
        theirs = floor(target)
        if theirs is None:
            return "it is on no floor"
        return None if theirs <= mine else f"floor {mine} may not import floor {theirs}"
    if top in sys.stdlib_module_names:
        return None
    may = ENVS if is_env(name) else {party for _, parties in FLOORS[: (mine or 0) + 1] for party in parties}
    return None if top in may else f"{top} is not among {sorted(may)}"


def test_every_module_has_a_floor() -> None:
    assert [name for name in sorted(MODULES) if floor(name) is None and not is_env(name)] == []


def test_imports_only_go_down() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {target}: {why}"
        for name, file in sorted(MODULES.items())
        for line, target in imported(name, file)
        if (why := forbidden(name, target)) is not None
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.processes
def test_below_cluster_nothing_imports_ray_and_training_and_agents_need_few_libraries() -> None:
    cluster = floor("polyray.cluster")
    assert cluster is not None
    below = [name for name in sorted(MODULES) if is_env(name) or (floor(name) or 0) < cluster]
    needs_more = (
        "polyray.envs.minigrid", "polyray.envs.starts.capture", "polyray.envs.starts.reference",
        "polyray.envs.starts.seeded", "polyray.reports", "polyray.rl.imitation", "polyray.tasks.hub",
        "polyray.tasks.hub_fields",
    )  # fmt: skip
    few = [name for name in below if not any(f"{name}.".startswith(f"{more}.") for more in needs_more)]
    rest = [name for name in below if name not in few]
    assert len(few) > 100 and len(rest) > 10
    missing = "minigrid datasets matplotlib tensorboard scipy sklearn PIL peft"
    program = (
        "import importlib, sys\n"
        "missing, few, rest = (text.split() for text in sys.argv[1:])\n"
        "sys.modules.update(dict.fromkeys([*missing, 'ray']))\n"  # importing these fails from now on
        "for name in few: importlib.import_module(name)\n"
        "for name in missing: del sys.modules[name]\n"
        "for name in rest: importlib.import_module(name)\n"
    )
    arguments = [missing, " ".join(few), " ".join(rest)]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_folders_of_envs_import_only_down() -> None:
    def env_floor(name: str) -> int:
        folder = name.split(".")[2] if len(name.split(".")) > 3 else ""
        return ENV_FLOORS.index(folder)

    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {target}"
        for name, file in sorted(MODULES.items())
        if is_env(name) and file.name != "__init__.py"
        for line, target in imported(name, file)
        if is_env(target) and env_floor(target) > env_floor(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_slow_libraries_are_imported_inside_functions() -> None:
    inside = set()
    for file in MODULES.values():
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            for node in ast.walk(function):
                if not isinstance(node, ast.Import | ast.ImportFrom):
                    continue
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                inside |= {
                    f"{file.relative_to(ROOT)}:{node.lineno} {name}"
                    for name in names
                    if not any(f"{name}.".startswith(f"{late}.") for late in LATE)
                }
    assert not inside, "\n".join(sorted(inside))


def test_imports_that_go_up_are_refused() -> None:
    pairs = [
        ("polyray.modules.lora", "ray"),
        ("polyray.modules.lora", "polyray.tasks.task"),
        ("polyray.errors", "torch"),
        ("polyray.training.loop", "polyray.cluster.train"),
        ("polyray.training.loop", "polyray.envs.levels"),
        ("polyray.rl.policy", "ray.rllib"),
        ("polyray.tasks.task", "polyray.jobs.polytropon"),
        ("polyray.envs.levels", "torch"),
        ("polyray.envs.levels", "polyray.modules.lora"),
        ("polyray.reports.page", "polyray.cluster.session"),
        ("polyray.tune_spaces.ppo", "polyray.cli.app"),
    ]
    assert [pair for pair in pairs if forbidden(*pair) is None] == []


def test_imports_that_go_down_are_allowed() -> None:
    pairs = [
        ("polyray.cluster.rllib.module", "ray.rllib"),
        ("polyray.jobs.compare", "polyray.cluster.train"),
        ("polyray.cluster.train", "torch"),
        ("polyray.envs.levels", "polyray.errors"),
        ("polyray.jobs.babyai", "polyray.envs"),
        ("polyray.rl.player", "polyray.envs.levels"),
        ("polyray.routing.learned", "polyray.modules.layout"),
    ]
    assert [pair for pair in pairs if forbidden(*pair) is not None] == []


def test_the_folder_platform_is_no_package() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists(), "it would hide the standard library's `platform`"


def test_every_package_folder_has_an_init() -> None:
    folders = {file.parent for file in MODULES.values()}
    missing = [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()]
    assert not missing
