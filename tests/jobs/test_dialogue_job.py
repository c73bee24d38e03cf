"""Systems, experts and anti-experts from the command line: trained, used, and their likelihood of given responses."""

import json
import math
from pathlib import Path

import pytest
from dialogue_cases import ANSWER, LABELS, LOGS, REVIEWS, chat, write_begin, write_chats, write_json
from in_process import run_here
from training_cases import write_colours
from tuning_cases import Stopped

from polyray.config import load_config
from polyray.errors import InputError, Interrupted
from polyray.jobs.table import JOBS
from polyray.skills.skill import load_card, load_skill
from polyray.training.prediction import predict
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.training import tune
from polyray.training.worker import Alone

TINY = (
    "training.steps=2", "training.batch=2", "training.lr=1e-2", "training.report_every=1", "training.save_every=1",
    "text.max_output=12",
)  # fmt: skip


def write_inns(folder: Path, n: int = 4) -> Path:
    """Answers of dstc11 in all splits, whose dialogues differ."""
    write_json(folder / "knowledge.json", REVIEWS)
    for split in ("train", "val", "test"):
        logs = [[{**turn, "text": f"{split} {number}? {turn['text']}"} for turn in LOGS[0]] for number in range(n)]
        write_json(folder / split / "logs.json", logs)
        labels = [{**ANSWER, "response": f"Yes, {number} of them."} for number in range(n)]
        write_json(folder / split / "labels.json", labels)
    return folder


@pytest.mark.processes  # three trainings, one of them stopped at every step
def test_an_anti_expert_is_trained_on_top_of_a_system_and_both_are_scored_by_likelihood(tmp_path: Path) -> None:
    data = f"tasks.path={write_inns(tmp_path / 'inns')}"
    system = run_here("dialogue", tmp_path / "base", *TINY, data, "tasks.control.precision=true", "name=system")
    base = tmp_path / "base" / "skills" / "system"
    assert set(system.metrics["tasks"]["dstc11"]) == {"BLEU"}
    assert system.metrics["data"]["dstc11"]["train"] == {"of": 4, "rows": 4, "coverage": 0.0, "density": 0.0}
    assert load_card(base).forms["dstc11"].control == ("<high-prec>",)
    (answer,) = predict(base, "dstc11", [{"input": "Is it free?", "knowledge": "It is."}])
    assert isinstance(answer, str)
    chosen = (*TINY, data, f"base=[{base}]", "tasks.select.swap=true", "method.kind=lora", "method.rank=2", "name=anti")
    run_here("dialogue", tmp_path / "anti", *chosen)
    anti = tmp_path / "anti" / "skills" / "anti"
    assert load_card(anti).base[0].name == "system"
    recipe = load_config(JOBS["dialogue"].Config, overrides=chosen)
    plain = TuningRecipe.model_validate(recipe.model_dump(include=set(TuningRecipe.model_fields)))
    stopped, starts = tmp_path / "stopped", 0
    stopped.mkdir()
    while not (stopped / "skills").exists():
        starts += 1
        try:
            tune(plain.model_dump(mode="json"), Stopped(stopped), Alone())
        except Interrupted:
            continue
    assert starts > 1 and load_skill(stopped / "skills" / "anti").card.fingerprint == load_card(anti).fingerprint
    for skill in (base, anti):
        scored = run_here("likelihood", tmp_path / f"of-{skill.name}", "suite=dstc11", data, f"skills={skill}").metrics
        scores = scored["tasks"]["dstc11"]
        file = tmp_path / f"of-{skill.name}" / "predictions" / "dstc11.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        n_tokens = sum(line["scores"]["tokens"] for line in lines)
        total = sum(line["scores"]["loss"] * line["scores"]["tokens"] for line in lines)
        assert scores["loss"] == pytest.approx(total / n_tokens) == pytest.approx(scored["mean"])
        assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
        assert (scores["tokens"], scores["examples"]) == (n_tokens, 4) == (4 * len("Yes, 0 of them.$"), 4)


def test_attributable_and_other_responses_have_their_own_likelihood_under_a_whole_network(tmp_path: Path) -> None:
    rows = [(f"Fact {n}.", f"Is it {n}?", f"It is {n}.", LABELS[n % 2]) for n in range(6)]
    write_begin(tmp_path, rows)
    begin = ("suite=begin", f"tasks.path={tmp_path}", "backbone=tiny-causal")
    metrics = run_here("likelihood", tmp_path / "each", *begin, "tasks.each_label=true").metrics
    whole = run_here("likelihood", tmp_path / "all", *begin).metrics["tasks"]["begin-wow"]
    names = ["begin-wow-fully-attributable", "begin-wow-not-fully-attributable"]
    assert list(metrics["tasks"]) == names and [metrics["tasks"][name]["examples"] for name in names] == [3, 3]
    losses = [metrics["tasks"][name]["loss"] for name in names]  # of as many tokens each
    assert sum(losses) / 2 == pytest.approx(whole["loss"]) == pytest.approx(metrics["mean"])


def test_mistakes_are_found_before_anything_starts(tmp_path: Path) -> None:
    inns = f"tasks.path={write_inns(tmp_path / 'inns')}"
    colours = write_colours(tmp_path / "colours")
    write_chats(tmp_path, chat("Hi.", "Yes?"))
    mistakes: list[tuple[str, tuple[str, ...], str]] = [
        ("dialogue", (), "'dstc11' reads files: set tasks.path"),
        ("dialogue", colours, "suite=jsonl holds no dialogues: the task 'known' has the objective 'answers'"),
        ("dialogue", (inns, "tasks.select.seed=3"), r"tasks\.select\.swap is false"),
        ("dialogue", (inns, "tasks.classifier=here"), "neither tasks.select.entailment nor"),
        ("dialogue", (inns, "tasks.select.labels=[Generic]"), "no response is annotated as 'Generic'"),
        ("dialogue", (inns, "tasks.unseen=true"), "unseen"),
        ("likelihood", (inns,), "needs skills=FOLDER, or backbone=FOLDER"),
        ("likelihood", (inns, "backbone=tiny-causal", "score.tasks=[dstc]"), "Did you mean 'dstc11'"),
    ]
    for job, overrides, message in mistakes:
        with pytest.raises((InputError, ValueError), match=message):
            run_here(
                job,
                tmp_path / "run",
                *([] if "suite" in "".join(overrides) or not overrides else ["suite=dstc11"]),
                *overrides,
            )
        assert not (tmp_path / "run").exists(), overrides
