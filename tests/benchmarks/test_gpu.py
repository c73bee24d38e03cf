"""The benchmark for machines with a GPU runs on a CPU at tiny sizes, and outlives a part that fails."""

import json
import sys
import time
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.part import PARTS

TIERS = {"ppo": [pytest.mark.agents]}  # it compiles the environments


@pytest.mark.processes
@pytest.mark.parametrize("name", [pytest.param(name, marks=TIERS.get(name, [])) for name in PARTS])
def test_every_part_measures_something_on_a_cpu_where_peft_is_missing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    measured: Any = PARTS[name](Bench(device=torch.device("cpu"), small=True, until=time.monotonic() + 1))
    rows = measured if isinstance(measured, list) else [measured]
    assert rows and json.dumps(rows)
    speeds = [value for row in rows for key, value in row.items() if key.endswith(("_ms", "_per_second"))]
    assert speeds and min(speeds) > 0


def test_every_part_has_a_share_of_the_time() -> None:
    assert command.SHARES.keys() == {"tests", *PARTS} and sum(command.SHARES.values()) == pytest.approx(1)


def test_what_a_part_does_not_use_goes_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: dict[str, float] = {}

    def figures(name: str, device: str, small: bool, seconds: float) -> dict[str, Any]:
        shares[name] = seconds
        return {}

    monkeypatch.setattr(command, "figures", figures)
    command.measure(["routing", "planted"], "cpu", small=True, seconds=90.0)
    assert shares == {"routing": pytest.approx(60, abs=1), "planted": pytest.approx(90, abs=1)}


def test_a_part_that_fails_leaves_its_error_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(name: str, *arguments: Any) -> dict[str, Any]:
        return {"error": "out of memory"} if name == "routing" else {"steps": 3}

    monkeypatch.setattr(command, "figures", figures)
    options = ["--device", "cpu", "--small", "--part", "routing", "--part", "planted"]
    monkeypatch.setattr(sys, "argv", ["gpu", *options])
    with pytest.raises(SystemExit, match="1"):
        command.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["device"] == "cpu"
    assert (printed["routing"], printed["planted"]) == ({"error": "out of memory"}, {"steps": 3})


@pytest.mark.processes
def test_a_part_that_ends_with_an_error_is_told() -> None:
    measured = command.figures("sorting", "cpu", small=True, seconds=1.0)  # there is no such part
    assert "KeyError: 'sorting'" in measured["error"]
