"""Environments run without a cache of compiled code where no folder can be written."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import polyray.envs
import polyray.errors
from polyray.envs.engine.compilation import _SOURCES

pytestmark = pytest.mark.agents  # compiles without a cache, for tens of seconds

PLAY = """
import gymnasium, polyray.envs
env = gymnasium.make("polyray/BabyAI-GoToObjS4-v0")
print(polyray.envs.__file__, env.reset(seed=0)[0]["mission"], env.step(2)[1], sep="|")
"""
FULL_DISK = """
import errno, numpy as np
from numba.core.caching import IndexDataCacheFile
def save(self, key, data): raise OSError(errno.ENOSPC, "No space left on device")
IndexDataCacheFile.save = save
from polyray.envs.engine.state import copy_rows, empty
from polyray.envs.starts.fingerprints import fingerprints
for _ in range(2): copy_rows(empty(1, 3, 3), np.zeros(1, np.int64), empty(1, 4, 4), np.zeros(1, np.int64))
print(len(fingerprints(empty(1, 3, 3))))
"""


def unwritable_copy(folder: Path) -> Path:
    """Copy of what the environments need, with files in place of all folders for caches: not even root can write."""
    ground = Path(polyray.errors.__file__).parent
    (folder / "polyray").mkdir()
    for name in ("__init__", "errors", "lookup"):
        text = "" if name == "__init__" else (ground / f"{name}.py").read_text(encoding="utf-8")
        (folder / "polyray" / f"{name}.py").write_text(text, encoding="utf-8")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(polyray.envs.__file__).parent, folder / "polyray" / "envs", ignore=ignored)
    for package in (folder / "polyray").rglob("__init__.py"):
        (package.parent / "__pycache__").touch()
    return folder


def run(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "IPYTHONDIR"), "/dev/null/nowhere")
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), **nowhere, **environment},
    )  # fmt: skip


def test_environments_are_played_where_nothing_can_be_written(tmp_path: Path) -> None:
    done = run(PLAY, unwritable_copy(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}/polyray/envs/__init__.py|go to the")
    assert done.stderr.count("Set NUMBA_CACHE_DIR to a folder that can be written") == 1


def test_a_disk_that_is_full_costs_the_cache_alone(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    done = run(FULL_DISK, unwritable_copy(tmp_path), NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert done.stderr.count("No space left on device") == 1


def test_the_key_of_the_cache_covers_every_file_with_compiled_code() -> None:
    folder = Path(polyray.envs.__file__).parent
    covered = {file for pattern in _SOURCES for file in folder.glob(pattern)}
    compiled = {file for file in folder.rglob("*.py") if "\n@compiled" in file.read_text(encoding="utf-8")}
    assert len(compiled) > 8 and compiled <= covered
