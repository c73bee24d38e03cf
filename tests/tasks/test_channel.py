"""Training data of the two networks of a noisy channel."""

from pathlib import Path

import pytest
from grounded_cases import write_dialogues

from polyray.config import load_config
from polyray.errors import InputError
from polyray.tasks import Suite, TasksOptions, load_suite
from polyray.training.recipe import SuiteConfig


def suite_of(*overrides: str) -> Suite:
    options: TasksOptions = load_config(SuiteConfig, overrides=overrides).tasks
    return load_suite(options)


def test_the_channel_learns_the_knowledge_and_the_language_model_the_response_alone(tmp_path: Path) -> None:
    data = write_dialogues(tmp_path / "data")
    plain, knowledge, ungrounded = (
        suite_of(*data, f"tasks.target={target}").tasks["places"].examples("train")[0]
        for target in ("response", "knowledge", "ungrounded")
    )
    assert plain.outputs == ("open.",) and plain.knowledge == ("inn open",)
    assert [turn.text for turn in knowledge.history] == ["inn train 0?", "open."] and knowledge.history[
        1
    ].speaker == "system"
    assert knowledge.outputs == ("inn open",) and knowledge.knowledge == ()
    assert ungrounded.history == plain.history and ungrounded.outputs == plain.outputs and ungrounded.knowledge == ()


def test_targets_that_cannot_be_learned_are_refused(tmp_path: Path) -> None:
    *data, each = write_dialogues(tmp_path / "data")
    with pytest.raises(InputError, match="set tasks.targets=each or last"):
        suite_of(*data, "tasks.target=knowledge")
    with pytest.raises(InputError, match="tasks.target is ungrounded"):
        suite_of(*data, each, "tasks.target=ungrounded", "tasks.control.precision=true")
    for file in (tmp_path / "data" / "places").iterdir():
        file.write_text(file.read_text().replace("knowledge", "other"))
    with pytest.raises(InputError, match="tasks.target=knowledge: no response of a split of the task 'places'"):
        suite_of(*data, each, "tasks.target=knowledge")
