"""Names and lists in a job's config are looked up before anything starts, with the nearest name in the message."""

from collections.abc import Iterator
from typing import Any, get_origin

import pytest
from gathering import for_cases
from job_cases import TINY_SUITE

from polyray.config import Section, fields_read_by, load_config
from polyray.config.section import sections
from polyray.errors import InputError
from polyray.jobs import compare, polytropon
from polyray.jobs.babyai import Config as AgentConfig
from polyray.jobs.babyai import check as check_agent
from polyray.jobs.table import JOBS
from polyray.objectives import OBJECTIVES
from polyray.tasks import TASKS
from polyray.training.methods import check_methods


def refusal(kind: type[Section], *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_config(kind, overrides=overrides)
    return str(caught.value)


@for_cases([
    {"job": "polytropon", "override": "tasks.train_splits=[trian]", "message": "Did you mean 'train'?"},
    {"job": "polytropon", "override": "tasks.train_splits=[train,train]", "message": "'train' is named twice"},
    {"job": "polytropon", "override": "modules.sites=['']", "message": "expected at least one preset or pattern"},
    {"job": "polytropon", "override": "modules.density=0.5", "message": "is not read with modules.kind=lora; sparse"},
    {"job": "adapt", "override": "adapt.methods=[skils]", "message": "Did you mean 'skills'?"},
    {"job": "adapt", "override": "adapt.methods=[row,row]", "message": "'row' is named twice"},
    {"job": "adapt", "override": "adapt.rates=[0]", "message": "greater than 0"},
    {"job": "adapt", "override": "adapt.rates=[1e-3,.inf]", "message": "expected a finite number"},
    {"job": "adapt", "override": "adapt.seeds=[1,1]", "message": "expected different numbers"},
    {"job": "compare", "override": "kinds=[polytropn]", "message": "Did you mean 'polytropon'?"},
    {"job": "compare", "override": "each={privat: {training.lr: 1}}", "message": "Did you mean 'private'?"},
])  # fmt: skip
def test_a_slip_is_refused_with_the_field_and_the_nearest_name(job: str, override: str, message: str) -> None:
    refused = refusal(JOBS[job].Config, override)
    assert message in refused and refused.startswith(override.split("=")[0]), refused


def lists(config: Section, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and default of every list in a config."""
    inner = dict(sections(type(config)))
    for name, field in type(config).model_fields.items():
        if name in inner:
            yield from lists(vars(config)[name], f"{prefix}{name}.")
        elif name == "options":
            yield from lists(vars(config)[name], prefix)
        elif get_origin(field.annotation) is tuple:
            yield prefix + name, field.default


NONE_IS_A_CHOICE = (
    "evaluate: base",
    "combine: subsets",
    "combine: routed",
    "combine: clusters",
)  # no skill beneath, where the card names some; no such system


def test_a_list_may_be_empty_only_where_that_is_its_default() -> None:
    tried, wrong = 0, []
    for job, entry in JOBS.items():
        for name, default in lists(entry.Config()):
            tried += 1
            try:
                load_config(entry.Config, overrides=[f"{name}=[]"])
                refused = False
            except InputError as error:
                refused = name in str(error)
            field = f"{job}: {name}"
            if refused != (bool(default) and field not in NONE_IS_A_CHOICE):
                wrong.append(field)
    assert tried > 12 and not wrong


def test_fields_for_other_kinds_of_task_are_refused() -> None:
    values = {
        "stride": "7", "max_history": "7", "max_knowledge": "7", "layout": "markers", "packing": "true",
        "method": "rank", "tree": "greedy", "beams": "3", "length_penalty": "0.5", "no_repeat_ngram": "3",
        "sample": "true", "temperature": "0.5", "top_k": "5", "top_p": "0.5", "seed": "5",
    }  # fmt: skip
    readers = fields_read_by(polytropon.Config)
    assert {name.rpartition(".")[2] for name in readers} == values.keys()
    assert {objective for names in readers.values() for objective in names} < OBJECTIVES.keys()
    wrong = []
    for suite, kind in TASKS.items():
        for name, objectives in readers.items():
            field = name.rpartition(".")[2]
            drawn = ["evaluation.sample=true"] if field in ("temperature", "top_k", "top_p", "seed") else []
            beams = ["evaluation.beams=2"] if field == "length_penalty" else []
            needed = [] if kind.objectives and not {"answers", "dialogue"} & {*kind.objectives} else [*drawn, *beams]
            try:
                load_config(polytropon.Config, overrides=[f"suite={suite}", *needed, f"{name}={values[field]}"])
                refused = False
            except InputError as error:
                refused = name in str(error) and "is not read" in str(error)
            if refused != (bool(kind.objectives) and not {*objectives} & {*kind.objectives}):
                wrong.append(f"{suite}: {name}")
    assert not wrong, wrong


@for_cases([
    {"overrides": ["modules.sites=[fc3]"], "message": "modules.sites: No layer matches the site pattern"},
    {"overrides": ["modules.sites=[layernorm_embedding]"], "message": "No skill can sit on a LayerNorm"},
    {"overrides": ["backbone=tiny-encodr"], "message": "Did you mean 'tiny-encoder'?"},
    {"overrides": ["backbone=/nowhere"], "message": "No backbone can be loaded from the name '/nowhere'"},
    {"overrides": ["routing.kind=expert", "routing.allocation={a: [0]}"], "message": "names no skill for task"},
    {"overrides": ["modules.kind=prefix", "modules.sites=[fc1]"], "message": "prefix"},
])  # fmt: skip
def test_layers_backbones_and_tables_that_do_not_fit_are_refused_without_weights(
    overrides: list[str], message: str
) -> None:
    config = load_config(polytropon.Config, overrides=[*TINY_SUITE, *overrides])
    with pytest.raises(InputError) as caught:
        polytropon.check(config)
    assert message in str(caught.value)


def test_what_fits_passes_for_every_kind_of_module_and_tiny_backbone() -> None:
    for kind, sites in (("lora", "attention"), ("bottleneck", "houlsby"), ("ia3", "ia3"), ("prefix", "prefix")):
        for backbone in ("tiny-seq2seq", "tiny-causal"):
            options = [f"modules.kind={kind}", f"modules.sites=[{sites}]", f"backbone={backbone}"]
            polytropon.check(load_config(polytropon.Config, overrides=[*TINY_SUITE, *options]))


def test_a_row_is_trained_only_where_there_is_one() -> None:
    check_methods(("row",), "polytropon", "fp32")
    with pytest.raises(InputError, match="routing.kind=private is fixed"):
        check_methods(("row",), "private", "fp32")
    assert load_config(compare.Config, overrides=["kinds=[shared]"]).kinds == ("shared",)


def test_a_short_training_of_an_agent_says_which_two_fields_to_set() -> None:
    config = load_config(AgentConfig, overrides=["levels=[GoToObj]", "training.frames=4096"])
    with pytest.raises(InputError) as caught:
        check_agent(config)
    assert "set ticket.frames to less than 4096 (0: " in str(caught.value)
    assert "or training.frames to more than 200000" in str(caught.value)
