"""The cluster files in jobs/cluster, what they may hold, and the commands in them."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from ray.scripts import scripts
from shape_cases import Shape, read_schema, read_shape, shape_of

FOLDER = Path(__file__).resolve().parents[1] / "jobs" / "cluster"
RAY_UP = {"aws": "aws", "gcp": "gcp", "on_premise": "local"}  # file: shape of what its provider reads
KUBERNETES = ("kubernetes_storage", "raycluster", "rayjob")
YAML = (*RAY_UP, *KUBERNETES, "skypilot")


def text_of(name: str) -> str:
    """The text of a YAML file in jobs/cluster."""
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def read(name: str) -> dict[str, Any]:
    """A YAML file in jobs/cluster."""
    document: dict[str, Any] = yaml.safe_load(text_of(name))
    return document


def shape(name: str) -> Shape:
    """Fields of the file: Ray's own schema, and ours of what Ray hands on to others; ours alone elsewhere."""
    if name in RAY_UP:
        ours, rays = read_shape(RAY_UP[name]), shape_of(read_schema(ray_folder() / "autoscaler" / "ray-schema.json"))
        rays["available_node_types"]["*"]["node_config"] = ours.pop("node_config")
        return {**rays, **ours}
    if name in KUBERNETES:
        return read_shape("kubernetes")[read(name)["kind"]]
    return read_shape(name)


def ray_folder() -> Path:
    """The folder of the package ray."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def texts(value: Any) -> Iterator[str]:
    """All texts in a document."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def commands(text: str, *words: str) -> list[list[str]]:
    """The words after `words` of each command in a shell text that has them, `words[0]` perhaps with its folder."""
    joined = text.replace("\\\n", " ")
    split = [shlex.split(line, comments=True) for line in joined.splitlines() if words[-1] in line]
    ends = {"&&", "||", "&", ";", "|", ">", "2>", "2>&1"}
    matches = []
    for line in split:
        for start in range(len(line) - len(words) + 1):
            first, *rest = line[start : start + len(words)]
            if first.rpartition("/")[2].removeprefix("(") == words[0] and rest == list(words[1:]):
                tail = line[start + len(words) :]
                stop = next((number for number, word in enumerate(tail) if word in ends or word.startswith(">")), None)
                matches.append(tail[:stop])
    return matches


def unknown_options(arguments: list[str]) -> list[str]:
    """The options of a `ray start` that Ray does not know, and those that lack their value; "${...}" is any."""
    command = scripts.start
    plain = [argument for argument in arguments if not argument.startswith("${")]
    plain = [re.sub(r"=\$.*", "=1", argument) for argument in plain]
    try:
        command.make_context("start", plain, resilient_parsing=False)
    except click.ClickException as error:
        return [error.format_message()]
    return []


def start_parameters(parameters: dict[str, str]) -> list[str]:
    """Names in KubeRay's rayStartParams that are no options of `ray start`."""
    return unknown_options([f"--{name}={value}" for name, value in parameters.items()])
