"""Private copies of the repository, in which one file at a time is changed."""

import contextlib
import hashlib
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = {
    "build", "dist", "runs", ".git", ".venv", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"
}  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """A copy of the repository whose tests import the copy's own library."""

    root: Path

    @classmethod
    def copy(cls, repository: Path, root: Path) -> "Tree":
        """A copy of `repository` in the new folder `root`."""

        def left_out(folder: str, names: list[str]) -> set[str]:
            outputs = LEFT_OUT if Path(folder) == repository else set()
            return {name for name in names if name in outputs or name == "__pycache__" or name.endswith(".egg-info")}

        shutil.copytree(repository, root, ignore=left_out)
        tree = cls(root)
        packages = tree.root / "build" / "typed"
        for package, folder in tree.packages().items():
            link = packages.joinpath(*package.split("."))
            if "." in package:
                link.symlink_to(folder)
            else:
                link.mkdir(parents=True)
                for child in folder.iterdir():
                    (link / child.name).symlink_to(child)
        return tree

    def packages(self) -> Mapping[str, Path]:
        """The folders that `setup.cfg` maps to packages; a package comes before the packages in it."""
        setup = ConfigParser()
        setup.read(self.root / "setup.cfg", encoding="utf-8")
        pairs = [line.split("=") for line in setup["options"]["package_dir"].split("\n") if line]
        return {package.strip(): self.root / folder.strip() for package, folder in sorted(pairs)}

    def sources(self) -> list[str]:
        """All files of the library, from the root."""
        files = [file for folder in self.packages().values() for file in folder.rglob("*.py")]
        return sorted(str(file.relative_to(self.root)) for file in files)

    def fingerprint(self) -> str:
        """Sum of the library, the tests and their settings: as long as it is the same, so are the results."""
        files = [
            *self.sources(),
            *(str(file.relative_to(self.root)) for file in sorted((self.root / "tests").rglob("*.py"))),
        ]
        digest = hashlib.sha256()
        for name in [*files, "setup.cfg"]:
            digest.update(f"{name}\0".encode() + (self.root / name).read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    def environment(self, *before: Path) -> dict[str, str]:
        """Variables with which a process imports this tree; the folders `before` come first on the path.

        Those of a pytest that this process may itself be part of are left out.
        """
        path = [*before, self.root / "build" / "typed", self.root]
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONDONTWRITEBYTECODE" and not name.startswith("PYTEST_")
        }
        return {
            **inherited, "PYTHONPATH": os.pathsep.join(map(str, path)),
            "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0",
        }  # fmt: skip

    @contextlib.contextmanager
    def changed(self, path: str, source: str) -> Iterator[None]:
        """A block in which the file holds `source`."""
        file = self.root / path
        original = file.read_bytes()
        try:
            self._write(file, source.encode())
            yield
        finally:
            self._write(file, original)

    def _write(self, file: Path, content: bytes) -> None:
        """Write the file, and remove what Python compiled from it: equal size and second would pass for unchanged."""
        file.write_bytes(content)
        for package, folder in self.packages().items():
            if file.is_relative_to(folder):
                linked = self.root.joinpath("build", "typed", *package.split("."), file.relative_to(folder))
                Path(importlib.util.cache_from_source(str(linked))).unlink(missing_ok=True)
