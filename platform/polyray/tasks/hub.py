"""The suite hub: tasks made of datasets that the `datasets` library loads, from the Hub or from local files."""

from collections.abc import Mapping
from functools import partial
from string import Formatter
from typing import Any

import datasets
from datasets.exceptions import DatasetsError

from polyray.errors import InputError
from polyray.formats import user_path
from polyray.lookup import lookup
from polyray.tasks.examples import TextAnswers
from polyray.tasks.hub_fields import task_of_columns
from polyray.tasks.options import HubDataset, HubOptions
from polyray.tasks.partition import arranged, partition_path
from polyray.tasks.reading import Card, Row, checked_example, prompt_of
from polyray.tasks.task import Cached, Suite, Task

_FORMATTER = Formatter()


def hub(options: HubOptions) -> Suite:
    """The tasks that `options.hub` describes.

    Classes become words: those of `labels`, else the dataset's own names.

    Raises:
        InputError: `options.hub` is empty, a dataset cannot be loaded, or a template names a column it lacks.
    """
    if not options.hub:
        raise InputError("The suite 'hub' needs datasets: set tasks.hub.NAME.path, .input and .output.")
    categories = {name: source.category for name, source in options.hub.items()}
    folder = user_path(options.path) if options.path else None
    build = partial(_task, options.hub, options.prompt_name)
    return arranged("hub", categories, build, options, partition_path(options, folder), labelled=options.labelled)


def _task(sources: Mapping[str, HubDataset], prompt_name: bool, name: str) -> Task:
    source = sources[name]
    if source.objective != "answers":
        return task_of_columns(source, name, partial(_split, source, name))
    labels = _labels(_loaded(source, next(iter(source.splits)), name), source, name)
    metric = source.metric or ("ACC" if labels else "EM")
    card = Card(category=source.category, metric=metric, labels=labels)
    read = Cached(partial(_examples, source, card, prompt_name, name))
    return Task(
        name=name, category=source.category, metric=metric, labels=labels, seeds=(0,), read=read,
        prompt=prompt_of(name, prompt_name, source.input),
    )  # fmt: skip


def _loaded(source: HubDataset, split: str, name: str) -> datasets.Dataset:
    """The rows of one split; its columns hold those that the templates name."""
    data = _split(source, name, split)
    for column in _used(source, name):
        lookup(dict.fromkeys(data.column_names), column, f"column of tasks.hub.{name}")
    return data


def _split(source: HubDataset, name: str, split: str) -> datasets.Dataset:
    """The rows of one split."""
    try:
        data = datasets.load_dataset(
            source.path,
            name=source.config or None,
            revision=source.revision or None,
            data_files=source.data_files or None,
            split=source.splits[split],
        )
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"Cannot load the {split} split of tasks.hub.{name} (path {source.path!r}, config {source.config!r}, split "
            f"{source.splits[split]!r}): {message} Without a network, path must be a local folder or a cached dataset."
        ) from None
    return data


def _used(source: HubDataset, name: str) -> list[str]:
    return [*_columns(source.input, name), *_columns(source.output, name)]


def _columns(template: str, name: str) -> list[str]:
    try:
        fields = [field for _, field, _, _ in _FORMATTER.parse(template) if field is not None]
    except ValueError as error:
        raise InputError(f"tasks.hub.{name}: cannot read the template {template!r}: {error}.") from None
    if not fields:
        raise InputError(f"tasks.hub.{name}: the template {template!r} names no column; write {{COLUMN}}.")
    return [field.partition("[")[0].partition(".")[0] for field in fields]


def _classes(data: datasets.Dataset, source: HubDataset, name: str) -> dict[str, tuple[str, ...]]:
    """The words for the class numbers of each used column that holds some; `labels`: those of the output's column."""
    features = {column: data.features[column] for column in _used(source, name)}
    classes = {column: tuple(kind.names) for column, kind in features.items() if isinstance(kind, datasets.ClassLabel)}
    target = _target(source, name)
    kind = features.get(target)
    numbers = isinstance(kind, datasets.Value) and kind.dtype.startswith(("int", "uint", "bool"))
    if source.labels and (target in classes or numbers):
        if len(classes.get(target, source.labels)) != len(source.labels):
            expected = f"the {len(classes[target])} classes {', '.join(classes[target])}"
            raise InputError(f"tasks.hub.{name}.labels has {len(source.labels)} words for {expected}.")
        classes[target] = source.labels
    return classes


def _target(source: HubDataset, name: str) -> str:
    """The one column that the output is made of, "" if there are several."""
    columns = set(_columns(source.output, name))
    return columns.pop() if len(columns) == 1 else ""


def _labels(data: datasets.Dataset, source: HubDataset, name: str) -> tuple[str, ...] | None:
    """The closed set of outputs: the output's text for each class of its column, or for each of `labels`."""
    target = _target(source, name)
    words = _classes(data, source, name).get(target, source.labels)
    if not words:
        return None
    return tuple(_FORMATTER.vformat(source.output, (), {target: word}) for word in words) if target else words


def _examples(
    source: HubDataset, card: Card, prompt_name: bool, name: str, split: str, seed: int
) -> tuple[TextAnswers, ...]:
    if split not in source.splits:
        raise InputError(f"The task {name!r} has no split {split!r}; set tasks.hub.{name}.splits.{split}.")
    data = _loaded(source, split, name)
    if not len(data):
        raise InputError(f"The {split} split of tasks.hub.{name} is empty.")
    classes = _classes(data, source, name)
    used = _used(source, name)
    rows = []
    for position, values in enumerate(data):
        where = f"{name} {split}, row {position}"
        named = {column: _word(values[column], classes.get(column), f"{where}, {column!r}") for column in used}
        rows.append(_row(named, source, where))
    return tuple(checked_example(row, name, card, prompt_name=prompt_name) for row in rows)


def _word(value: Any, words: tuple[str, ...] | None, where: str) -> Any:
    """The name of the class `value`; `value` itself in a column without classes."""
    if value is None:
        raise InputError(f"{where} is missing.")
    if words is None:
        return value
    if not 0 <= value < len(words):
        raise InputError(f"{where}: the class {value} has no name ({len(words)} classes). Is this split unlabelled?")
    return words[value]


def _row(named: Mapping[str, Any], source: HubDataset, where: str) -> Row:
    try:
        text = _FORMATTER.vformat(source.input, (), named)
        outputs = _outputs(source.output, named)
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{where}: the templates do not fit: {type(error).__name__}: {error}.") from None
    return Row(where=where, input=text, outputs=outputs)


def _outputs(template: str, named: Mapping[str, Any]) -> tuple[str, ...]:
    """The text of `template`; of a lone column with a list, every text of the list."""
    ((before, field, spec, conversion), *more) = _FORMATTER.parse(template)
    if not (before or spec or conversion or more) and field is not None:
        value, _ = _FORMATTER.get_field(field, (), named)
        if isinstance(value, list):
            if not value:
                raise ValueError(f"the output {template} is an empty list")
            return tuple(map(str, value))
    return (_FORMATTER.vformat(template, (), named),)
