"""Every space is true to its job: names, ranges, words; and a space file of the user's becomes one."""

import random
from pathlib import Path

import pytest

from polyray.config import field_names, load_config
from polyray.errors import InputError
from polyray.jobs import polytropon
from polyray.jobs.adapt import Config as AdaptConfig
from polyray.jobs.table import JOBS
from polyray.lookup import lookup
from polyray.routing import ROUTERS
from polyray.sweeps.checking import check_space
from polyray.sweeps.fields import Field, IntRange, OneOf
from polyray.sweeps.options import read_options, searcher_of
from polyray.sweeps.reading import parse_space
from polyray.sweeps.space import Goal
from polyray.sweeps.writing import dump_space
from polyray.training.methods import candidates
from polyray.tune_spaces import SPACES
from polyray.tune_spaces.loading import find_space, load_space

DRAWS = 20


def test_every_field_of_every_space_is_one_of_its_job_and_says_what_it_is() -> None:
    wrong = []
    for name, space in SPACES.items():
        names = field_names(lookup(JOBS, space.job, "job").Config)
        for field, each in space.fields.items():
            unknown = {field, *each.only_with} - set(names)
            sentence = each.about[-1:] == "." and each.about[0].isupper() and "\n" not in each.about
            wrong += [f"{name}: {field} {sorted(unknown)} {each.about!r}"] if unknown or not sentence else []
    assert not wrong, "\n".join(wrong)


def test_every_draw_of_every_space_is_a_config_of_its_job_and_sets_it() -> None:
    for space in SPACES.values():
        config, rng = JOBS[space.job].Config, random.Random(0)
        draws = [space.draw(rng) for _ in range(DRAWS)]
        configs = [load_config(config, trial=draw) for draw in draws]
        assert len({each.model_dump_json() for each in configs}) == len({repr(draw) for draw in draws}) > 1
        check_space(space, config)


def test_every_space_is_the_same_after_it_was_written_and_read() -> None:
    for name, space in SPACES.items():
        assert parse_space(dump_space(space), name) == space


def test_every_space_is_searched_by_the_searcher_that_it_names() -> None:
    for space in SPACES.values():
        options, _ = read_options(space, [])
        assert space.is_read(next(iter(space.fields)), searcher_of(space, options).ask(0, []) or {})


def test_the_few_shot_space_holds_the_trials_of_mttl() -> None:
    space = SPACES["few_shot"]
    grid = searcher_of(space, read_options(space, [])[0])
    trials = [fields for number in range(99) if (fields := grid.ask(number, [])) is not None]
    tried = {}
    for fields in trials:
        config = load_config(AdaptConfig, overrides=space.overrides([]), trial=fields)
        (method,) = config.adapt.methods
        tried[method] = [(each.lr, each.routing_lr) for each in candidates(config.adapt, method, ROUTERS["polytropon"])]
        assert config.adapt.choose == "task"
    lr, routing_lr = 1e-3, 0.1  # of what is not trained
    both = [(1e-3, 0.5), (1e-3, 0.1), (1e-4, 0.5), (1e-4, 0.1)]
    skills = [(1e-3, routing_lr), (1e-4, routing_lr)]
    assert tried == {
        "skills": both,  # finetune_type Poly
        "row": [(lr, 0.5), (lr, 0.1)],  # Z
        "average": skills,  # MuZ
        "fresh": both,  # PolyRand
        "full": skills,  # F
    }


def test_a_field_that_the_command_line_sets_is_not_varied() -> None:
    config = JOBS["polytropon"].Config
    space = load_space("routing", "polytropon", config, overrides=["routing.kind=soft", "routing.n_skills=4"])
    assert list(space.fields) == ["routing.granularity", "routing.sample", "routing.temperature", "routing.ibp"]
    assert not any(field.only_with for field in space.fields.values())
    with pytest.raises(InputError, match="Nothing is left to vary"):
        load_space("routing", "polytropon", config, overrides=["routing.kind=shared"])


def test_the_user_s_own_file_is_checked_against_the_job_it_is_for(tmp_path: Path) -> None:
    config, file = JOBS["polytropon"].Config, tmp_path / "mine.yaml"
    file.write_text("fields:\n  training.steps: {int: [10, 90], step: 40}\n  modules.rank: {choice: [2, 4]}\n")
    space = load_space(str(file), "polytropon", config)
    assert space.job == "polytropon"
    expected: dict[str, Field] = {"training.steps": IntRange(10, 90, 40), "modules.rank": OneOf((2, 4))}
    assert space.fields == expected
    for text, message in (
        (
            "fields:\n  trainng.steps: {int: [10, 90]}",
            "mine.yaml:2: the job polytropon has no field 'trainng.steps'. Did",
        ),
        (
            "fields:\n\n  training.steps: {int: [0, 90]}",
            "mine.yaml:3: the space draws what .* refuses: training.steps = 0",
        ),
        (
            "fields:\n  modules.rank: {choice: [2, low]}",
            "mine.yaml:2: .* modules.rank = 'low' .trial.: expected an integ",
        ),
        (
            "fields:\n  modules.density: {choice: [0.5, 0.2]}",
            "mine.yaml:2: .* modules.density .trial. is not read with",
        ),
        ("job: babyai\nfields:\n  training.lr: {choice: [1]}", "is for the job babyai, not for polytropon"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            load_space(str(file), "polytropon", config)
    file.write_text("fields:\n  modules.density: {choice: [0.5, 0.2]}")
    assert load_space(str(file), "polytropon", config, overrides=["modules.kind=sparse"]).fields


def test_the_space_in_the_documentation_is_one(root: Path, tmp_path: Path) -> None:
    text = (root / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    space = load_space(str(tmp_path / "mine.yaml"), "polytropon", JOBS["polytropon"].Config)
    assert len(space.fields) == 6 and space.goal == Goal("validation.score")


def test_a_space_that_is_not_there_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"No space is called 'dual_sped'. Did you mean 'dual_speed'\? Known: agent_speed"
    ):
        find_space("dual_sped")
    with pytest.raises(InputError, match="Cannot read .*absent.yaml: No such file"):
        find_space(str(tmp_path / "absent.yaml"))
    (tmp_path / "mine").write_text("fields: {lr: {choice: [1]}}")
    assert find_space(str(tmp_path / "mine")).fields["lr"] == OneOf((1,))  # a file without an ending that says so


def test_the_job_accepts_the_settings_that_let_it_validate_on_what_it_does_not_train_on() -> None:
    space = SPACES["dual_speed"]
    assert SPACES["routing"].settings.items() >= space.settings.items()
    small = ["tasks.planted.train_examples=2", "tasks.planted.tasks_per_subset=1", "tasks.planted.test_examples=2"]
    polytropon.check(load_config(polytropon.Config, overrides=space.overrides(small)))


def test_what_planted_tasks_need_is_set_for_them_alone() -> None:
    config = JOBS["polytropon"].Config
    for name in ("dual_speed", "routing"):
        planted = load_space(name, "polytropon", config).overrides([])
        others = load_space(name, "polytropon", config, overrides=["suite=jsonl"]).overrides([])
        assert {"training.backbone_lr=0.003", "training.steps=400"} <= {*planted} - {*others}, name
        assert {"evaluation.every=100", 'tasks.train_splits=["train"]'} == {*others}, name
