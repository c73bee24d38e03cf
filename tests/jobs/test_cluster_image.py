"""The Dockerfile of the image: pinned, complete, closed, and without root."""

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "ONBUILD", "RUN",
    "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


def instructions(text: str) -> list[tuple[str, str]]:
    """Name and arguments of each instruction.

    Raises:
        ValueError: Docker has no such instruction.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    pairs = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, arguments = line.strip().partition(" ")
        if name not in INSTRUCTIONS:
            raise ValueError(f"Docker has no instruction {name!r}")
        pairs.append((name, arguments.strip()))
    return pairs


@pytest.fixture(scope="module")
def image(root: Path) -> list[tuple[str, str]]:
    return instructions((root / "jobs" / "cluster" / "Dockerfile").read_text(encoding="utf-8"))


def copied(image: list[tuple[str, str]]) -> list[str]:
    """The files and folders that are copied into the image."""
    return [source for name, arguments in image if name == "COPY" for source in arguments.split()[:-1]]


def test_a_misspelt_instruction_is_named(root: Path) -> None:
    text = (root / "jobs" / "cluster" / "Dockerfile").read_text(encoding="utf-8")
    for name in {name for name, _ in instructions(text)}:
        with pytest.raises(ValueError, match=f"'{name}X'"):
            instructions(re.sub(rf"^{name} ", f"{name}X ", text, flags=re.MULTILINE))


def test_all_that_is_installed_is_pinned_as_it_is_tested(image: list[tuple[str, str]], root: Path) -> None:
    pins = dict(line.split("==") for line in (root / "constraints.txt").read_text().split() if "==" in line)
    (base,) = (arguments for name, arguments in image if name == "FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)
    installs = [
        shlex.split(command)
        for name, arguments in image if name == "RUN" for command in arguments.split("&&") if "pip install" in command
    ]  # fmt: skip
    versions = {}
    for words in installs:
        assert words[2:5] == ["--no-cache-dir", "-c", "/polyray/constraints.txt"]
        for package in words[5:]:
            if package != "/polyray":
                name, _, version = package.partition("==")
                versions[name.partition("[")[0]] = version
    assert versions == {name: pins[name] for name in ("torch", "ray", "transformers")}
    assert installs[-1][-1] == "/polyray"
    assert sum(name == "RUN" and "apt-get install" in arguments for name, arguments in image) == 1
    assert all("--no-install-recommends" in text for _, text in image if "apt-get install" in text)


def test_whoever_runs_it_is_not_root_and_talks_to_nobody_without_a_token(image: list[tuple[str, str]]) -> None:
    users = [arguments for name, arguments in image if name == "USER"]
    assert users == ["1000"] and "--uid 1000" in image[1][1]
    after_user = image[[name for name, _ in image].index("USER") :]
    assert {name for name, _ in after_user} == {"USER", "WORKDIR"}
    environment = dict(word.split("=") for name, arguments in image if name == "ENV" for word in shlex.split(arguments))
    assert environment["RAY_AUTH_MODE"] == "token" and environment["HOME"] == "/home/polyray"


def test_the_folders_of_the_package_are_copied_and_not_ignored(image: list[tuple[str, str]], root: Path) -> None:
    config = ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    folders = {line.split(" = ")[1].partition("/")[0] for line in config["options"]["package_dir"].split("\n") if line}
    assert folders <= set(copied(image))
    assert all((root / source).exists() for source in copied(image))
    ignored = (root / "jobs" / "cluster" / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert sorted(f"!{source}" for source in copied(image)) == [line for line in ignored if line.startswith("!")]
    assert ignored[0] == "*"


@pytest.mark.slow
def test_what_is_copied_suffices_to_build_the_package(image: list[tuple[str, str]], root: Path, tmp_path: Path) -> None:
    for source in copied(image):
        if (root / source).is_dir():
            shutil.copytree(root / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / source, tmp_path / source)
    dist = tmp_path / "dist"
    build = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", str(dist), str(tmp_path)]
    subprocess.run(build, check=True)
    (wheel,) = dist.glob("polyray-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"polyray/jobs/polytropon.py", "polyray/envs/levels.py", "polyray/jobs/cluster/aws.yaml"} <= set(names)
