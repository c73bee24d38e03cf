"""Agreement of the parts of a merge, worked by hand, and on the page of a run."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from polyray.config import load_config
from polyray.jobs.merge import Config, run
from polyray.merging import Operands, Part, diagnostics
from polyray.merging.diagnostics import AGREEMENT, Agreement, MergeFigures
from polyray.reports.page import Picture, Table
from polyray.reports.sections import merge
from polyray.reports.sections.agreement import section
from polyray.runs.run import Run


def part(values: list[float], weight: float = 1.0) -> Part:
    return Part(tensor=torch.tensor(values), weight=weight)


def test_agreement_worked_by_hand() -> None:
    base = part([1.0, 1, 1, 1])
    # task vectors 2 0 1 -1 and, times the sign of its weight, -2 3 2 0
    agreement = Agreement.of(Operands(parts=[part([3.0, 1, 2, 0]), part([3.0, -2, -1, 1], -0.5)], base=base))
    assert agreement is not None
    assert agreement.products.tolist() == [[6, -2], [-2, 17]]
    assert agreement.changed.tolist() == [[3, 2], [2, 3]] and agreement.opposed.tolist() == [[0, 1], [1, 0]]
    figures = agreement.figures()
    assert figures["overlap"][0][1] == 2 / 4 and figures["conflicts"][0][1] == 1 / 2
    assert abs(figures["cosine"][0][1] + 2 / (6 * 17) ** 0.5) < 1e-12
    assert Agreement.of(Operands(parts=[part([1.0])], base=part([0.0]))) is None
    assert Agreement.of(Operands(parts=[part([1.0]), part([2.0])])) is None
    twice = MergeFigures(layers={"a": agreement}) + MergeFigures(layers={"a": agreement, "b": agreement})
    again = MergeFigures.of_record(json.loads(json.dumps(twice.record())))
    assert again.layers["a"].products.tolist() == [[12, -4], [-4, 34]] and list(again.layers) == ["a", "b"]


def test_of_large_tensors_the_first_entries_of_each_block_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "BLOCK", 8)
    monkeypatch.setattr(diagnostics, "SAMPLE", 2)
    assert diagnostics.sampled(torch.arange(19).view(1, 19)).tolist() == [0, 1, 8, 9, 16, 17]


def test_the_page_of_a_merge_has_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def page_of(metrics: dict[str, object]) -> Table | None:
        monkeypatch.setattr(merge, "final_metrics", lambda _: metrics)
        page = merge.section(tmp_path)
        if page is None:
            return None
        (table,) = page.blocks
        assert isinstance(table, Table)
        return table

    several = page_of(
        {"n_tensors": 3, "factors": {"0.5": {"loss": 2.0, "shrink": 0.9}, "1": {"loss": 3.0, "shrink": 0.8}}}
    )
    assert several is not None and several.header == ["", "factor 0.5", "factor 1"]
    assert [row[1:] for row in several.rows] == [[2.0, 3.0], [0.9, 0.8]]
    one = page_of({"n_parts": 2, "compression_error": 0.1})
    assert one is not None and one.rows[0][1] == 0.1
    assert page_of({"n_tensors": 3}) is None and page_of({"loss": 1.0}) is None


def test_the_page_of_a_merge_shows_the_agreement_of_its_parts(tmp_path: Path) -> None:
    names = [f"model.layers.{n}.{x}" for n in range(3) for x in ("weight", "bias")]

    def model(seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return {name: torch.randn(6, generator=generator) for name in names}

    for seed, name in enumerate(("base", "a", "b", "c")):
        (tmp_path / name).mkdir()
        save_file(model(seed), tmp_path / name / "model.safetensors")
    parts = [{"model": str(tmp_path / name), "weight": weight} for name, weight in (("a", 1), ("b", -1), ("c", 0))]
    run(load_config(Config, None, [f"base={tmp_path / 'base'}", f"parts={json.dumps(parts)}"]), Run(tmp_path / "run"))
    agreement = json.loads((tmp_path / "run" / AGREEMENT).read_text())
    assert list(agreement["layers"]) == [f"model.layers.{n}" for n in range(3)] and agreement["parts"] == [
        "a",
        "b",
        "c",
    ]
    page = section(tmp_path / "run")
    assert page is not None and isinstance(page.blocks[0], Picture)
    table = page.blocks[1]
    assert isinstance(table, Table) and table.rows[0][0] == "a, b" and table.rows[1][1:] == [0.0, 0.0, 0.0]
    assert section(tmp_path) is None
