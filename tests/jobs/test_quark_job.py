"""The job that trains by Quark."""

from pathlib import Path

import pytest
from grounded_cases import write_dialogues
from training_cases import write_colours

from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs.quark import Config, check


def test_mistakes_show_before_anything_starts(tmp_path: Path) -> None:
    data = write_dialogues(tmp_path / "data")
    assert [*check(load_config(Config, overrides=data)).tasks] == ["places"]
    *chats, _ = data
    for overrides, message in [
        ((*data, "method.kind=lottery_ticket"), "Quark needs a method of one, such as method.kind=full or lora"),
        ((*data, "quark.reward=Knowlege-F1"), "Did you mean 'Knowledge-F1'"),
        ((*data, "quark.reward=Critic"), "Critic needs a network; set critic.model"),
        ((*data, "text.packing=true"), "set text.packing=false"),
        (chats, "set tasks.targets=each"),
        (write_colours(tmp_path / "colours"), "Quark draws responses in dialogues; the task 'known'"),
        ((*data, "training.batch=5", "workers.n=2"), "does not divide"),
    ]:
        with pytest.raises(InputError, match=message):
            check(load_config(Config, overrides=overrides))
    with pytest.raises(InputError, match="learns from responses that it draws"):
        load_config(Config, overrides=[*data, "heads=x"])
