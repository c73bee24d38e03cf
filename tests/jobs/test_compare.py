"""The jobs as a user runs them, on a Ray cluster that is there already."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from job_cases import TINY_SUITE
from ray_cases import Run, finish, head, start

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def joined() -> Iterator[list[str]]:
    """The arguments of a run on a cluster that is there already."""
    with head() as address:
        yield ["--address", address]


def test_compare_reports_every_router_and_its_skills_can_be_scored_and_adapted(
    joined: list[str], tmp_path: Path
) -> None:
    more = ["training.steps=4", "adapt.steps=4", "adapt.looks=2", "adapt.rates=[0.001]", "tasks.planted.samples=2"]
    output = finish(start(tmp_path / "run", "compare", *joined, *more, "kinds=[hyperformer,polytropon]"))
    assert all(name in output for name in ("HYPERFORMER", "SKILLED"))
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert set(metrics["kinds"]) == {"hyperformer", "polytropon"}
    assert {"ami", "assignment_accuracy"} == set(metrics["trained"]["polytropon"]["recovery"])
    skills = f"skills={tmp_path}/run/polytropon/skills"
    finish(Run("run", "evaluate", "--out", str(tmp_path / "scores"), skills, *TINY_SUITE, *joined))
    assert len(list((tmp_path / "scores" / "predictions").glob("*.jsonl"))) == 2
    methods = ["adapt.methods=[skills,row,average,fresh,full]", "adapt.steps=2", "adapt.looks=1", "adapt.rates=[0.001]"]
    finish(Run("run", "adapt", "--out", str(tmp_path / "adapted"), skills, *TINY_SUITE, *methods, *joined))
    adapted = json.loads((tmp_path / "adapted" / "result.json").read_text())["metrics"]
    assert set(adapted["methods"]) == {"skills", "row", "average", "fresh", "full"}
