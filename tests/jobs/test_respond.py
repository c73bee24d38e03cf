"""The job that answers with a system and scores the answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grounded_cases import write_dialogues
from responding_cases import write_skills
from training_cases import write_colours

from polyray.cluster.inside import OwnProcess
from polyray.config import load_config
from polyray.errors import InputError, Interrupted
from polyray.jobs.respond import Config, check, run
from polyray.runs.run import Run
from polyray.tasks import load_suite


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return write_skills(tmp_path_factory.mktemp("skills"))


@pytest.fixture
def system(skills: Callable[[str], Path], tmp_path: Path) -> tuple[str, ...]:
    """Experts that answer the six test examples of two tasks in pieces of four."""
    return (
        *write_colours(tmp_path / "data"), f"skills={skills('base')}", "system.kind=dexperts",
        f"system.expert={skills('expert')}", "score.piece=4", "responses.draws=20", "text.max_output=8",
    )  # fmt: skip


def respond(out: Path, *overrides: str, stop: bool = False) -> dict[str, Any]:
    """The metrics of the job in the folder `out`; stop: it is asked to stop before its second piece."""
    out.mkdir(exist_ok=True)
    config = load_config(Config, overrides=overrides)

    class Stopping(Run):
        @property
        def stop_requested(self) -> bool:
            return stop and (self.out / "pieces").exists()

    return run(config, Stopping(out, cluster=OwnProcess())).metrics


def predictions(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((out / "predictions").iterdir())}


def test_every_example_is_answered_and_scored_by_itself_and_all_together(
    system: tuple[str, ...], tmp_path: Path
) -> None:
    metrics = respond(tmp_path / "out", *system)
    config = load_config(Config, overrides=system)
    for name in ("known", "new"):
        lines = [json.loads(line) for line in predictions(tmp_path / "out")[f"{name}.jsonl"].splitlines()]
        examples = load_suite(config.tasks).tasks[name].examples("test")
        assert [line["input"] for line in lines] == [example.input for example in examples]
        values = [line["scores"]["ACC"] for line in lines]
        assert values == [float(line["prediction"] in line["outputs"]) for line in lines]
        assert metrics["tasks"][name] == {"ACC": sum(values) / 6}
        low, high = metrics["intervals"][name]["ACC"]
        assert low <= sum(values) / 6 <= high
    assert metrics["mean"] == pytest.approx(sum(x["ACC"] for x in metrics["tasks"].values()) / 2)


def test_responses_in_dialogues_have_all_metrics_that_need_no_network(
    skills: Callable[[str], Path], tmp_path: Path
) -> None:
    dialogues = (*write_dialogues(tmp_path / "data"), f"skills={skills('base')}", "text.max_output=8")
    metrics = respond(tmp_path / "out", *dialogues, "responses.draws=10")
    scores = metrics["tasks"]["places"]
    assert next(iter(scores)) == "BLEU" and {"Knowledge-F1", "Density", "chrF"} < set(scores)
    assert set(scores) == set(metrics["intervals"]["places"])
    lines = [json.loads(line) for line in predictions(tmp_path / "out")["places.jsonl"].splitlines()]
    values = [line["scores"]["Knowledge-F1"] for line in lines]
    assert scores["Knowledge-F1"] == pytest.approx(sum(values) / 4)
    chosen = respond(tmp_path / "chosen", *dialogues, "responses.metrics=[chrF]")["tasks"]["places"]
    assert chosen == {"BLEU": scores["BLEU"], "chrF": scores["chrF"]}


def test_a_run_that_was_stopped_goes_on_with_the_pieces_that_lack(
    system: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = (*system, "evaluation.sample=true")
    whole = respond(tmp_path / "whole", *system)
    out = tmp_path / "out"
    with pytest.raises(Interrupted, match="3 of 4 pieces of work left"):
        respond(out, *system, stop=True)
    (first,) = (out / "pieces").iterdir()
    written = first.stat().st_mtime_ns
    assert respond(out, *system) == whole and predictions(out) == predictions(tmp_path / "whole")
    assert first.stat().st_mtime_ns == written, "it was not answered again"
    first.write_text(first.read_text().replace("too_long", "too_long "))  # altered: answered again
    assert respond(out, *system) == whole and first.stat().st_mtime_ns != written
    data, (known, new) = tmp_path / "data" / "new" / "test.jsonl", sorted((out / "pieces").glob("*-0000000.json"))
    before = [file.stat().st_mtime_ns for file in (known, new)]
    data.write_text(data.read_text().replace("sky test 0", "sky other 0"))
    respond(out, *system)
    assert [file.stat().st_mtime_ns == time for file, time in zip((known, new), before, strict=True)] == [True, False]


def test_mistakes_show_before_anything_starts(system: tuple[str, ...], skills: Callable[[str], Path]) -> None:
    no_skills = tuple(x for x in system if not x.startswith("skills="))
    for overrides, message in [
        (no_skills, "needs skills=FOLDER, .* or backbone=FOLDER"),
        ((*system, "backbone=tiny-causal"), "not both"),
        ((*system, "score.tasks=[knwon]"), "Did you mean 'known'"),
        ((*system, "responses.metrics=[BLEU]"), "metrics of responses in dialogues; the task 'known' is scored by ACC"),
        ((*system, "system.expert=tiny-x"), "No backbone is called 'tiny-x'"),
        ((*no_skills, f"skills={skills('base')}", "system.kind=ctrl"), "system.kind=ctrl answers dialogues"),
    ]:
        with pytest.raises(InputError, match=message):
            check(
                load_config(
                    Config, overrides=[x for x in overrides if "ctrl" not in overrides[-1] or "expert" not in x]
                )
            )
