"""The package `polyray` as one folder, from wherever this process has it: installed, editable or a source tree."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from polyray.cluster.submission.archive import files_below

OUTSIDE = ("envs", "jobs", "tune_spaces")  # packages that setup.cfg takes from folders of their own
COMPILED = (".pyc", ".pyo", ".so")


def package_files() -> dict[str, Path]:
    """The files of Polyray by their names on a cluster, which begin with polyray/."""
    files = {}
    for package in ("polyray", *(f"polyray.{name}" for name in OUTSIDE)):
        for folder in _folders(package):
            for file in files_below(folder):
                name = file.relative_to(folder)
                hidden = any(step.startswith(".") for step in name.parts)
                if not hidden and file.suffix not in COMPILED:
                    files["/".join((*package.split("."), *name.parts))] = file
    return files


def _folders(package: str) -> Iterator[Path]:
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None, package
    yield from map(Path, spec.submodule_search_locations)
