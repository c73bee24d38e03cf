"""Space files: they are read as they are written, and a mistake is refused with its line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyray.errors import InputError
from polyray.sweeps.fields import Field, Grid, IntRange, LogIntRange, LogUniform, OneOf, Uniform
from polyray.sweeps.reading import parse_space, read_space
from polyray.sweeps.space import Goal, Space
from polyray.sweeps.writing import dump_space

KINDS = "choice, grid, uniform, loguniform, int, logint"
FILE = """\
# two speeds
about: speeds and routers
job: polytropon
goal: tasks.rte.acc
mode: min
searcher: random
scheduler: asha
settings:
  training.steps: 50
  tasks.train_splits: {value: [train], only_with: {suite: planted}}
fields:
  training.lr: {loguniform: [1e-4, 1e-2]}
  training.warmup: {about: "share: warm", uniform: [0, 0.5], step: 0.1}
  routing.kind:
    choice: [polytropon, hard, "1e-3", true, 3]
  routing.top:
    int: [1, 5]
    step: 2
    only_with: {routing.kind: hard}
  routing.n_skills:
    logint: [2, 32]
    only_with:
      routing.kind: [polytropon, hard]
      routing.top: [1]
  training.batch: {grid: [8, 16]}
  adapt.methods: {choice: [[row], [skills, row]]}
"""


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(FILE)
    space = read_space(file)
    assert space == Space(
        about="speeds and routers", job="polytropon", goal=Goal("tasks.rte.acc", "min"), searcher="random",
        scheduler="asha", settings={"training.steps": 50, "tasks.train_splits": ("train",)},
        settings_only_with={"tasks.train_splits": {"suite": ("planted",)}},
        fields={
            "training.lr": LogUniform(1e-4, 1e-2),
            "training.warmup": Uniform(0, 0.5, 0.1, about="share: warm"),
            "routing.kind": OneOf(("polytropon", "hard", "1e-3", True, 3)),
            "routing.top": IntRange(1, 5, 2, only_with={"routing.kind": ("hard",)}),
            "routing.n_skills": LogIntRange(
                2, 32, only_with={"routing.kind": ("polytropon", "hard"), "routing.top": (1,)}
            ),
            "training.batch": Grid((8, 16)),
            "adapt.methods": OneOf((("row",), ("skills", "row"))),
        },
    )  # fmt: skip
    assert space.origins["routing.kind"] == f"{file}:14"


def test_entries_but_the_fields_may_be_left_out() -> None:
    space = parse_space("fields: {lr: {uniform: [0, 1]}}", "s")
    assert (space.job, space.goal, space.searcher, space.scheduler) == ("", Goal("mean", "max"), "tpe", "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s:1: expected the entries of a space"),
        ("[a]", "s:1: expected the entries of a space"),
        ("about: x", "s:1: a space needs `fields`"),
        ("about: x\nfields: {}", "s:2: a space needs `fields`"),
        ("fields: [lr]", "s:1: expected the names of fields"),
        ("job: x\nfeilds:\n  lr: 1", "s:2: no entry of a space is called 'feilds'. Did you mean 'fields'?"),
        ("mode: maximum\nfields: {lr: {choice: [1]}}", "s:1: no mode is called 'maximum'. Did you mean 'max'?"),
        ("searcher: tpa\nfields: {lr: {choice: [1]}}", "s:1: no searcher is called 'tpa'. Did you mean 'tpe'?"),
        ("scheduler: bpt\nfields: {lr: {choice: [1]}}", "s:1: no scheduler is called 'bpt'. Did you mean 'pbt'?"),
        ("goal: [mean]\nfields: {lr: {choice: [1]}}", "s:1: goal is one text."),
        (f"about: x\ngoal: {'x' * 1001}\nfields: {{lr: {{choice: [1]}}}}", "s:2: goal has more than 1000 characters."),
        (f"fields:\n  {'x' * 201}: {{choice: [1]}}", f"s:2: no field has so long a name: {'x' * 60}."),
        (
            "settings: {a: 1}\nfields:\n  a.b: {choice: [1]}\n  a: {choice: [1]}",
            "s:3: the space varies a.b, and its settings set it: choose one.",
        ),
        ("settings:\n  a: {valu: 1}\nfields: {lr: {choice: [1]}}", "s:2: no entry of a setting is called 'valu'."),
        ("settings:\n  a: {only_with: {b: 1}}\nfields: {lr: {choice: [1]}}", "s:2: the setting a needs a `value`."),
        ("settings: 3\nfields: {lr: {choice: [1]}}", "s:1: expected the names of fields and their values."),
        ("fields:\n  lr: 0.1", "s:2: expected a range of lr, such as {choice: [a, b]}"),
        ("fields:\n  lr: {}", f"s:2: lr needs one kind of range ({KINDS}), found none."),
        ("fields:\n  lr:\n    about: x", "s:2: lr needs one kind of range"),
        (
            "fields:\n  lr:\n    logunifrom: [1, 2]",
            "s:3: no kind of range, for lr is called 'logunifrom'. Did you mean 'loguniform'?",
        ),
        ("fields:\n  lr: {int: [1, 2], grid: [1]}", f"s:2: lr needs one kind of range ({KINDS}), found int and grid."),
        ("fields:\n  training:\n    lr: {int: [1, 2]}", "s:2: names of fields are written with dots, training.lr: "),
        ("fields:\n  lr:\n    uniform: [1]", "s:3: `uniform` takes two numbers, the ends: [low, high]."),
        ("fields:\n  lr:\n    uniform: [a, b]", "s:3: `uniform` takes two numbers"),
        ("fields:\n  lr:\n    int: [1, 2]\n    step: x", "s:3: `int` takes two numbers"),
        ("fields:\n  lr:\n    uniform: [2, 1]", "s:3: lr: the lower end 2 is not below the upper end 1."),
        ("fields:\n  lr:\n    loguniform: [0, 1]", "s:3: lr: a logarithmic range begins above 0"),
        ("fields:\n  lr:\n    int: [1, 2.5]", "s:3: lr: expected a whole number"),
        ("fields:\n  lr:\n    logint: [1, 2]\n    step: 1", "s:4: `logint` has no step; those that have one: uniform,"),
        ("fields:\n  lr:\n    choice:\n    - 1\n    -", "s:5: expected a text, a number"),
        ("fields:\n  lr:\n    choice: [a, a]", "s:3: lr: the value 'a' stands twice."),
        (f"fields:\n  lr:\n    choice: [{'9' * 2000}]", "s:3: a number of 2000 digits is too long."),
        ("fields:\n  lr:\n    choice: [1]\n    only_with: [x]", "s:4: expected other fields and the values"),
        (
            "fields:\n  lr: {choice: [1], only_with: {x: [b]}}\n  x: {choice: [a]}",
            "s:2: lr is only_with x=b, but 'b' is not among 'a'.",
        ),
        ("fields:\n  lr: {choice: [1]}\n  lr: {choice: [2]}", "s:3: the field 'lr' stands twice, here and in line 2"),
        ("fields:\n  lr: {choice: [!!python/name:os.system ]}", "s:2: the tag tag:yaml.org,2002:python/name:os.system"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_space(text, "s")
    assert str(refusal.value).startswith(message)


NUMBERS = st.floats(-1e200, 1e200)
SCALARS = st.one_of(st.text(max_size=6), st.integers(-(2**60), 2**60), NUMBERS, st.booleans())
TEXTS = st.one_of(
    st.sampled_from(["true", "~", "1e-3", "0x1f", "a: b", "a #b", "- x", "'", '"', "on", ""]), st.text(max_size=9)
)
VALUES = st.one_of(SCALARS, TEXTS, st.lists(SCALARS, max_size=2).map(tuple))
LISTS = st.lists(VALUES, min_size=1, max_size=4, unique_by=lambda value: repr(value)).map(tuple)


@st.composite
def ends(draw: st.DrawFn, numbers: st.SearchStrategy[Any]) -> tuple[Any, Any]:
    low, high = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    return low, high


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Spaces with fields of all kinds, the later ones with conditions on the first."""
    first = draw(LISTS.filter(lambda values: all(value not in values[:i] for i, value in enumerate(values))))
    texts, positive, whole = st.text(max_size=6), st.floats(1e-9, 1e9), st.integers(1, 2**50)
    kinds = [(Uniform, NUMBERS), (LogUniform, positive), (IntRange, whole), (LogIntRange, whole)]
    fields: dict[str, Field] = {"first": OneOf(first, about=draw(texts))}
    for kind, numbers in draw(st.lists(st.sampled_from(kinds), max_size=3)):
        only_with = {"first": (first[0],), "a.b": draw(LISTS)} if draw(st.booleans()) else {}
        build: Any = kind
        fields[draw(TEXTS) + str(len(fields))] = build(*draw(ends(numbers)), about=draw(texts), only_with=only_with)
    goal, settings = Goal(draw(TEXTS) + "x", "min"), {"setting": draw(VALUES)}
    conditions = {"setting": {"a.b": draw(LISTS)}} if draw(st.booleans()) else {}
    return Space(
        about=draw(TEXTS), job=draw(texts), goal=goal, settings=settings, settings_only_with=conditions, fields=fields
    )


@settings(max_examples=25, deadline=None)
@given(spaces())
def test_a_written_space_is_read_back_equal(space: Space) -> None:
    again = parse_space(dump_space(space), "s")
    assert again == space
    for name, field in space.fields.items():
        assert repr(again.fields[name].spelled()) == repr(field.spelled())  # True is not 1 here
    assert dump_space(again) == dump_space(space)


def test_steps_are_written() -> None:
    fields: dict[str, Field] = {"a": Uniform(0, 1, 0.1), "b": IntRange(1, 9, 4)}
    space = Space(about="", job="", goal=Goal("mean"), fields=fields)
    assert parse_space(dump_space(space), "s") == space and "step: 0.1" in dump_space(space)
