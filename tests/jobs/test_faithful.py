"""The table of systems for faithful dialogue: its steps, and all of them done on the smallest network."""

from pathlib import Path
from typing import Any

import pytest
import torch
from crash_scenarios import a_plain_report
from dialogue_cases import ANSWER, LABELS, LOGS, REVIEWS, write_begin, write_json
from tokenizer_cases import byte_pairs
from transformers import LlamaConfig, LlamaForCausalLM

from polyray.cluster.inside import OwnProcess
from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs.faithful import Config, check, run
from polyray.responding.faithful.plan import Planner
from polyray.responding.faithful.recipe import ROWS, FaithfulRecipe
from polyray.runs.run import Run


def write_data(folder: Path) -> tuple[str, ...]:
    """A system's dialogues, and attributable and other responses: the overrides that choose them."""
    write_json(folder / "knowledge.json", REVIEWS)
    for split in ("train", "val", "test"):
        logs = [[{**turn, "text": f"{split} {number}? {turn['text']}"} for turn in LOGS[0]] for number in range(3)]
        write_json(folder / split / "logs.json", logs)
        write_json(folder / split / "labels.json", [{**ANSWER, "response": f"Yes, {n}."} for n in range(3)])
    rows = [(f"Fact {n}.", f"Is it {n}?", f"It is {n}.", LABELS[n % 2]) for n in range(4)]
    for split in ("dev", "test"):
        write_begin(folder, rows, split)
    chosen = [f"tasks.path={folder}"]
    for name, label in (("expert", LABELS[0]), ("anti_expert", LABELS[1])):
        chosen += [f"{name}.suite=begin", f"{name}.tasks.path={folder}", f"{name}.tasks.select.labels=[{label}]",
                   f"{name}.tasks.splits={{train: test, dev: dev, test: dev}}"]  # fmt: skip
    return (*chosen, "held_out.suite=begin", f"held_out.tasks.path={folder}", "held_out.tasks.each_label=true")


def write_network(folder: Path) -> str:
    """A causal network of one layer with its tokenizer."""
    tokenizer = byte_pairs().tokenizer
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=1, eos_token_id=2, bos_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def recipe_of(*overrides: str) -> FaithfulRecipe:
    return load_config(FaithfulRecipe, overrides=overrides)


def test_what_a_step_needs_is_done_before_it_and_nothing_is_done_twice(tmp_path: Path) -> None:
    data = write_data(tmp_path)
    planner = Planner(
        recipe_of(*data, "backbone=x", f"rows=[{', '.join(ROWS)}]", "lambdas={ewr: [0.1, 0.2]}"), tmp_path
    )
    done: set[str] = set()
    for level in planner.levels():
        assert all(need in done for step in level for need in step.needs)
        done |= {step.name for step in level}
    assert done == set(planner.steps)
    names = [row.name for row in planner.rows]
    assert len(names) == len(set(names)) == len(ROWS) + 2 and {"ewr 0.1", "ewr 0.2", "ctrl+ewr 0.2"} <= set(names)
    trainings = [name for name, step in planner.steps.items() if step.job == "dialogue"]
    assert sorted(trainings) == [
        "anti-expert-of-control", "anti-expert-of-system", "channel", "control", "expert-of-control",
        "expert-of-system", "language-model", "system",
    ]  # fmt: skip
    assert planner.steps["anti-expert-of-control"].fields["tasks"]["control"]["precision"] is True
    assert {row.name for row in planner.rows if not row.likelihood} == {"dexperts", "noisy_channel"}
    assert sum(step.job == "fisher" for step in planner.steps.values()) == 8  # two starts, two scales, start or anti


def test_what_is_missing_is_found_before_anything_starts(tmp_path: Path) -> None:
    data = write_data(tmp_path)
    mistakes: dict[tuple[str, ...], str] = {
        (*data,): "faithful needs backbone=FOLDER",
        ("backbone=x",): "'dstc11' reads files: set tasks.path",
        (
            *data[:1],
            "backbone=tiny-causal",
            "rows=[plain, ewr]",
        ): r"rows needs responses of an anti-expert: set anti_ex",
        (*data, "backbone=x", "rows=[plane]"): "Did you mean 'plain'",
        (*data, "backbone=x", "lambdas={erw: [1]}"): "Did you mean 'ewr'",
        (
            *data,
            "backbone=tiny-causal",
            "rows=[plain]",
            "anti_expert.tasks.select.labels=[Gneric]",
        ): "annotated as 'Gneric'",
        (*data, "backbone=tiny-causal", "rows=[ewr]"): "merges read a network in a folder",
    }
    for overrides, message in mistakes.items():
        with pytest.raises((InputError, ValueError), match=message):
            check(recipe_of(*overrides, *(["rows=[plain]"] if overrides == ("backbone=x",) else [])))


def table(out: Path, *overrides: str) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    with a_plain_report():
        return run(load_config(Config, overrides=overrides), Run(out, cluster=OwnProcess())).metrics


@pytest.mark.processes  # a dozen small runs
def test_a_table_is_done_step_by_step_and_finished_steps_are_kept(tmp_path: Path) -> None:
    tiny = (
        *write_data(tmp_path / "data"), f"backbone={write_network(tmp_path / 'network')}", "method.kind=lora",
        "method.rank=2", "training.steps=2", "training.batch=2", "helpers.steps=2", "helpers.batch=2",
        "helpers.lr=1e-2", "text.max_output=12", "responses.draws=20", "evaluation.beams=2",
        "rows=[plain, dexperts, noisy_channel, cape, ewr, ctrl+ewr_delta]", "lambdas={ewr: [0.1, 0.5]}",
    )  # fmt: skip
    metrics = table(tmp_path / "out", *tiny)
    assert list(metrics["rows"]) == [
        "plain", "dexperts", "noisy_channel", "cape 1", "ewr 0.1", "ewr 0.5", "ctrl+ewr_delta 1",
    ]  # fmt: skip
    losses = {name: row["likelihood"] for name, row in metrics["rows"].items() if "likelihood" in row}
    assert set(losses["plain"]) == {"begin-wow-fully-attributable", "begin-wow-not-fully-attributable"}
    assert losses["ewr 0.1"] != losses["ewr 0.5"] != losses["plain"]
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "steps").rglob("*.safetensors")}
    assert table(tmp_path / "out", *tiny) == metrics
    assert {file: file.stat().st_mtime_ns for file in before} == before
