"""Trials are ranked by state and goal, and what is best is written for people and programs."""

import json
from dataclasses import replace
from pathlib import Path

from sweep_cases import rated_rows, record, row, sweep_folder

from polyray.config import Section, load_config
from polyray.sweeps.outcome import best_config, write_best, write_outcome
from polyray.sweeps.space import Goal
from polyray.sweeps.trials import record_of
from polyray.sweeps.wording import fields_text, goal_text, progress_text, short_fields

MIN = Goal("loss", "min")


def test_trials_are_ranked_by_state_then_by_goal_and_ties_by_number() -> None:
    rows = [
        row(0, 0.5), row(1, 0.9, "stopped"), row(2, 0.7), row(3, None, "waiting"), row(4, 0.95, "running"),
        row(5, 0.7), row(6, None), row(7, None, "failed", reason="diverged"), row(8, 0.2, "running"),
    ]  # fmt: skip
    most, least = record(rows), record(rows, goals=(MIN,))
    assert [each.number for each in most.ranked] == [2, 5, 0, 6, 4, 8, 1, 3, 7]
    assert [each.number for each in least.ranked] == [0, 2, 5, 6, 8, 4, 1, 3, 7]
    assert most.best == rows[2] and least.best == rows[0]
    assert [each.number for each in most.scored] == [0, 1, 2, 5]


def test_the_best_is_a_stopped_trial_only_where_none_is_done_and_never_a_failed_one() -> None:
    stopped, failed = row(0, 0.4, "stopped"), row(1, 0.9, "failed")
    assert record([stopped, failed]).best == stopped
    assert record([stopped, failed, row(2, 0.1)]).best == row(2, 0.1)
    assert record([failed, row(2, None), row(3, 0.5, "running")]).best is None
    assert record([]).best is None


def test_a_sweep_is_done_when_all_planned_trials_have_ended() -> None:
    ended = [row(0, 0.4), row(1, 0.3, "stopped"), row(2, None, "failed")]
    assert record(ended).state == "done"
    assert record(ended, planned=4).state == "interrupted"
    assert record(ended, planned=4, running=True).state == "running"
    assert record([*ended, row(3, None, "running")]).state == "interrupted"
    assert progress_text(record([*ended, row(3)], planned=9)) == "4 of 9 trials ended, 1 stopped, 1 failed"


def test_the_front_holds_the_trials_that_none_beats_in_both_goals() -> None:
    pairs = [(0.9, 30.0), (0.8, 10.0), (0.8, 20.0), (0.5, 10.0), (0.9, 30.0), (0.95, 90.0)]
    rows = [row(number, pair[0], goals=pair) for number, pair in enumerate(pairs)]
    rows += [
        row(6, 0.99, "failed", goals=(0.99, 1.0)),
        row(7, 0.99, goals=(0.99,)),
        row(8, 1.0, goals=(1.0, float("nan"))),
    ]
    both = record(rows, goals=(Goal("mean"), Goal("seconds", "min")))
    assert [each.number for each in both.front] == [5, 0, 4, 1]


def test_fields_that_do_not_vary_are_no_columns_and_names_are_as_short_as_they_can_be() -> None:
    fields = [{"training.lr": 0.1, "training.routing_lr": 0.2}, {"training.lr": 0.1, "training.routing_lr": 0.3}]
    rows = [row(number, fields=each) for number, each in enumerate(fields)]
    assert record(rows).varied == ("training.routing_lr",)
    assert record(rows[:1]).varied == ("training.lr", "training.routing_lr")
    names = ["a.lr", "b.lr", "lr", "training.n", "x.b.lr"]
    assert list(short_fields(names).values()) == ["a.lr", "b.lr", "lr", "n", "x.b.lr"]
    assert fields_text({"a.lr": 0.00123456, "kind": "own", "rates": (0.1, 2)}) == "a.lr=0.00123, kind=own, rates=0.1, 2"


def test_a_goal_shows_the_deviation_over_its_repeats() -> None:
    assert goal_text(row(0, 0.5, seed_goals=(0.4, 0.6))) == "0.5 ± 0.14"  # sqrt((0.1^2 + 0.1^2) / 1)
    assert goal_text(row(0, 0.123456)) == "0.1235"
    assert goal_text(row(0)) == ""


def test_sweep_json_holds_every_trial_the_best_and_the_ratio(tmp_path: Path) -> None:
    rows = rated_rows(24)
    rows += [row(24, None, "failed", reason="RunError: diverged", folders=(tmp_path / "trials" / "0024",), starts=3)]
    sweep = record(rows, path=tmp_path, options={"searcher": "tpe"})
    content = json.loads(write_outcome(sweep).read_bytes())
    assert content["schema_version"] == 1 and content["state"] == "done" and content["options"] == {"searcher": "tpe"}
    assert content["fields"]["training.lr"] == {"loguniform": [1e-4, 1e-1]}
    assert [trial["number"] for trial in content["trials"]] == list(range(25))
    assert content["trials"][24]["folders"] == ["trials/0024"] and content["trials"][24]["starts"] == 3
    assert content["trials"][24]["goal"] is None and content["trials"][24]["reason"] == "RunError: diverged"
    best = sweep.best
    assert best is not None and content["best"] == content["trials"][best.number]
    assert content["best"]["seed_goals"] == list(best.seed_goals) and content["best"]["seeds"] == [0, 1]
    ratio = content["rates"]["ratio"]
    assert ratio["interval"][0] < 20 < ratio["interval"][1] and 5 < ratio["estimate"] < 80
    assert content["rates"]["trials"] == 24 and content["front"] is None


def test_an_empty_sweep_has_a_sweep_json(tmp_path: Path) -> None:
    content = json.loads(write_outcome(record([], path=tmp_path, planned=3, running=True)).read_bytes())
    assert content["state"] == "running" and content["best"] is None and content["rates"] is None


class Rates(Section):
    lr: float = 0.1
    """Rate."""
    routing_lr: float = 0.1
    """Rate."""
    seed: int = 3
    """Seed."""
    schedule: str = ""
    """File of changes."""


class Evaluation(Section):
    max_examples: int = 0
    """Examples at most; 0: all."""
    beams: int = 1
    """Beams."""


class Config(Section):
    training: Rates = Rates()
    """Training."""
    evaluation: Evaluation = Evaluation()
    """Evaluation."""


class OnlyRates(Section):
    training: Rates = Rates()
    """Training."""


def test_best_yaml_is_a_config_whose_first_line_says_where_it_comes_from(tmp_path: Path) -> None:
    sweep = record([row(0, 0.5), row(1, 0.75, seed_goals=(0.7, 0.8))], path=tmp_path, name="my\nspace.yaml")
    file = write_best(sweep, Config(training=Rates(lr=0.003)))
    first, _, _ = file.read_text().partition("\n")
    assert first == (
        "# Trial 1 of the sweep my space.yaml: mean 0.75 ± 0.071. Run it: polyray run polytropon --config best.yaml"
    )
    assert load_config(Config, file) == Config(training=Rates(lr=0.003))


def test_the_best_config_has_the_best_fields_the_first_seed_and_scores_all_examples(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "sweep", [0.25, 0.75, 0.5], planned=3)
    sweep = replace(
        sweep, seed_field="training.seed", seed=5, overrides=("evaluation.max_examples=2", "evaluation.beams=4")
    )
    best = record_of(sweep).best
    assert best is not None and best.number == 1 and record_of(sweep).state == "done"
    assert sweep.config(Config, best.fields).evaluation.max_examples == 2
    config = best_config(sweep, Config, best)
    assert config.evaluation == Evaluation(beams=4) and config.training.seed == 5
    assert {"training.lr": config.training.lr, "training.routing_lr": config.training.routing_lr} == best.fields
    (best.folders[0] / "schedule.json").write_text("{}")
    assert best_config(sweep, Config, best).training.schedule == str(best.folders[0] / "schedule.json")
    (best.folders[0] / "schedule.json").unlink()
    assert best_config(replace(sweep, overrides=()), OnlyRates, best).training == config.training
