"""The package that a user installs holds everything that the repository holds."""

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import polyray


@pytest.fixture(scope="module")
def setup(root: Path) -> ConfigParser:
    config = ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    return config


def folders(root: Path) -> dict[str, Path]:
    """The folder of every package in the repository, by its name."""
    tops = {"polyray": root / "platform" / "polyray"} | {
        f"polyray.{name}": root / name for name in ("jobs", "envs", "tune_spaces")
    }
    return {
        ".".join((package, *file.parent.relative_to(top).parts)): file.parent
        for package, top in tops.items()
        for file in top.rglob("*.py")
    }


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_every_package_folder_is_listed_in_order_and_no_other(setup: ConfigParser, root: Path) -> None:
    assert lines(setup["options"]["packages"]) == sorted(folders(root))


def test_every_folder_outside_platform_is_mapped(setup: ConfigParser, root: Path) -> None:
    mapped = dict(line.split(" = ") for line in lines(setup["options"]["package_dir"]))
    assert mapped.pop("polyray") == "platform/polyray"
    assert mapped == {
        name: str(folder.relative_to(root))
        for name, folder in folders(root).items()
        if folder.parent == root and (folder / "__init__.py").exists()
    }


def test_what_setup_cfg_asks_for_is_pinned(setup: ConfigParser, root: Path) -> None:
    asked = lines(setup["options"]["install_requires"])
    for extra in setup["options.extras_require"].values():
        asked += lines(extra)
    pinned = {line.partition("==")[0].lower() for line in lines((root / "constraints.txt").read_text(encoding="utf-8"))}
    assert not {line.partition(">=")[0].partition("[")[0].lower() for line in asked} - pinned


def test_pins_name_public_versions_only(root: Path) -> None:
    pins = lines((root / "constraints.txt").read_text(encoding="utf-8"))[1:]
    assert [pin for pin in pins if pin.count("==") != 1 or "+" in pin or "@" in pin] == []


def test_the_readme_of_ci_is_the_readme_of_users(root: Path) -> None:
    assert "make test" in (root / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_runs(root: Path, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", str(tmp_path), str(root)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("polyray-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    modules = {
        f"{package.replace('.', '/')}/{file.name}"
        for package, folder in folders(root).items()
        for file in folder.glob("*.py")
    }
    assert modules <= packed
    assert {f"polyray/jobs/cluster/{file.name}" for file in (root / "jobs" / "cluster").iterdir()} <= packed
    assert {name.partition("/")[0] for name in packed} == {"polyray", f"polyray-{polyray.__version__}.dist-info"}
    done = subprocess.run(
        [sys.executable, "-m", "polyray", "--version"],
        cwd=tmp_path / "site",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"polyray {polyray.__version__}\n"
