"""Configs with a suite: `suite` chooses the options that `tasks` holds."""

from pathlib import Path

import pytest

from polyray.config import describe_config, dump_config, load_config
from polyray.errors import InputError
from polyray.tasks import FolderOptions, PlantedSuiteOptions, TasksOptions
from polyray.training.recipe import SuiteConfig, TrainingRecipe


def test_the_suite_chooses_the_options_of_the_tasks(tmp_path: Path) -> None:
    config = load_config(SuiteConfig, overrides=["suite=jsonl", "tasks.path=data", "tasks.labelled=true"])
    assert config.tasks.options == FolderOptions(path="data", labelled=True)
    assert config.tasks.kind == "jsonl"
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(SuiteConfig, tmp_path / "config.yaml") == config
    assert "kind" not in config.model_dump(mode="json")["tasks"]


def test_in_python_either_of_suite_and_tasks_is_enough() -> None:
    by_tasks = SuiteConfig(tasks=TasksOptions(kind="jsonl", options=FolderOptions(path="data")))
    assert (by_tasks.suite, by_tasks) == (
        "jsonl",
        SuiteConfig.model_validate({"suite": "jsonl", "tasks": {"path": "data"}}),
    )
    assert SuiteConfig().tasks.options == PlantedSuiteOptions()
    with pytest.raises(ValueError, match="suite is 'planted', but tasks are options of the suite 'jsonl'"):
        SuiteConfig(suite="planted", tasks=TasksOptions(kind="jsonl"))


def test_an_option_of_another_suite_is_refused_and_an_unknown_suite_named() -> None:
    with pytest.raises(
        InputError, match=r"tasks\.path .* is not read with suite=planted; (\w+, )*jsonl(, \w+)* read it"
    ):
        load_config(SuiteConfig, overrides=["tasks.path=data"])
    with pytest.raises(InputError, match=r"No suite is called 'jsonnl'\. Did you mean 'jsonl'\?"):
        load_config(SuiteConfig, overrides=["suite=jsonnl"])


def test_a_described_recipe_may_be_run_with_another_suite_module_and_router(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(describe_config(TrainingRecipe))
    assert load_config(TrainingRecipe, file) == TrainingRecipe()
    overrides = ["suite=jsonl", "tasks.path=data", "modules.kind=sparse", "routing.kind=private"]
    other = load_config(TrainingRecipe, file, overrides)
    assert (other.suite, other.modules.kind, other.routing.kind) == ("jsonl", "sparse", "private")


def test_a_job_with_options_of_its_own_for_a_suite_keeps_them_unless_another_suite_is_asked_for() -> None:
    class Few(SuiteConfig):
        tasks: TasksOptions = TasksOptions.model_validate({"kind": "planted", "planted": {"train_examples": 7}})

    def examples(values: dict[str, object]) -> object:
        return Few.model_validate(values).tasks.model_dump().get("planted", {}).get("train_examples")

    assert examples({}) == examples({"suite": "planted"}) == 7
    assert examples({"suite": "jsonl"}) is None
    assert examples({"tasks": {"planted": {"train_examples": 8}}}) == 8
