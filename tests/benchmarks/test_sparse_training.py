"""The benchmark of training chosen entries at a tiny size: its variants compute the same, and its figures are there."""

import json
import sys

import pytest
import torch

from benchmarks.sparse_training import __main__ as command
from benchmarks.sparse_training import memory, selection
from benchmarks.sparse_training.language import ALL, PREDICTED, LanguageModel
from benchmarks.sparse_training.problem import SIZES, Tagger, batches, chosen_entries
from benchmarks.sparse_training.variants import L1, chosen, masked
from polyray.memory import KEEP_FREED

TINY = SIZES["tiny"]


def test_chosen_and_masked_steps_train_the_same_with_and_without_l1() -> None:
    for l1 in (0.0, 10 * L1):
        networks = [Tagger(TINY), Tagger(TINY)]
        entries = chosen_entries(networks[0], 0.08)
        for network, make in zip(networks, (masked(l1), chosen(l1)), strict=True):
            step = make(network, entries, batches(TINY, torch.device("cpu")))
            for _ in range(4):
                step()
        start, ends = Tagger(TINY), [dict(network.named_parameters()) for network in networks]
        for name, parameter in start.named_parameters():
            torch.testing.assert_close(ends[0][name], ends[1][name], rtol=0, atol=1e-6)
            changed = (ends[1][name] != parameter).flatten().nonzero().flatten()
            assert name.startswith("head") or set(changed.tolist()) <= set(entries.get(name, changed[:0]).tolist())
        assert not torch.equal(ends[0]["encoder.encoder.layer.0.attention.self.query.weight"], start.get_parameter(
            "encoder.encoder.layer.0.attention.self.query.weight"))  # fmt: skip


def test_the_loss_of_a_language_model_is_that_of_its_predicted_positions() -> None:
    ids = next(batches(TINY, torch.device("cpu")))
    torch.testing.assert_close(LanguageModel(TINY, ALL).loss(ids), LanguageModel(TINY, PREDICTED).loss(ids))


def test_parts_print_their_rows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in KEEP_FREED.items():
        monkeypatch.setenv(name, value)
    rows = {}
    for name in ("steps", "language", "skills"):
        options = ["--size", "tiny", "--rounds", "1", "--json", "--part", name]
        monkeypatch.setattr(sys, "argv", ["sparse_training", *options])
        command.main()
        rows[name] = json.loads(capsys.readouterr().out)["rows"]
    assert {row["variant"] for row in rows["steps"] if row["over_reference"]} == set(command.PEERS)
    assert [row["over_reference"] > 0 for row in rows["language"] if row["over_reference"]] == [True, True]
    assert {row["type"]: row["entries that differ"] for row in rows["skills"] if row["way"] == "polyray"} == {
        "float32": 0, "bfloat16": 0,
    }  # fmt: skip
    assert all(row["entries that differ"] > 0 for row in rows["skills"] if row["way"] == "added")


@pytest.mark.slow
def test_parts_in_processes_of_their_own_measure_memory_and_select_exactly_k(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = selection.rows(100_000, 8_000)
    assert rows[0]["selected"] == 8_000 < rows[2]["selected"] and all(row["s"] > 0 for row in rows)
    assert memory.of_variant("chosen", "tiny", 0.08, "cpu") > 1 << 26
