"""Tasks of datasets whose columns hold words and tags, labelled texts, trees, or questions with a context."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import datasets

from polyray.errors import InputError
from polyray.lookup import lookup, suggestion
from polyray.metrics.tags import OUTSIDE
from polyray.tasks.dialogue.example import DialogueExample
from polyray.tasks.dialogue.fields import text_in, texts_in
from polyray.tasks.dialogue.messages import chat_examples, snippets
from polyray.tasks.dialogue.options import PROMPT
from polyray.tasks.dialogue.wizard import alternating
from polyray.tasks.examples import ContextQuestion, LabelledTexts, ParsedWords, TaggedWords
from polyray.tasks.options import HUB_COLUMNS, HubDataset, TreebankOptions
from polyray.tasks.schemes import entity_labels, entity_tags, is_entity_tag, single_tags
from polyray.tasks.squad import checked_question, with_listed_answers
from polyray.tasks.task import Cached, Task
from polyray.tasks.trees import checked_parse, closed_relations

Load = Callable[[str], datasets.Dataset]  # of a split, by our name for it
NO_HEAD = ("_", "None")  # of a range of words, in Universal Dependencies as the Hub has them


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Fields of a row as an example of one objective.

    label: the field whose classes have names; empty: none. metric: of its tasks. prompt: empty where it is made of the
    names of the fields.
    """

    label: str
    metric: str
    prompt: str
    labels: Callable[[HubDataset, Sequence[str], str], tuple[str, ...]]
    example: Callable[[HubDataset, Sequence[str], Mapping[str, Any], str, str], Any]


def task_of_columns(source: HubDataset, name: str, load: Load) -> Task:
    """The task called `name` of a dataset with the columns that `source.objective` reads.

    Raises:
        InputError: the dataset cannot be loaded, lacks a column, or its classes have no names.
    """
    kind, columns = KINDS[source.objective], source.columns or HUB_COLUMNS[source.objective]
    data = load(next(iter(source.splits)))
    for column in columns.values():
        lookup(dict.fromkeys(data.column_names), column, f"column of tasks.hub.{name}")
    classes = _classes_of(source, data.features[columns[kind.label]], name) if kind.label else ()
    labels = kind.labels(source, classes, name)
    metric = source.metric or kind.metric
    if source.objective == "tagging" and not source.metric:
        metric = "Entity-F1" if all(map(is_entity_tag, labels)) else "Tag-ACC"
    prompt = " ".join(f"{{{field}}}" for field in columns if field not in ("label", "answers"))
    return Task(
        name=name, category=source.category, metric=metric, labels=labels or None, seeds=(0,),
        read=Cached(partial(_examples, source, columns, classes, load, name)), objective=source.objective,
        prompt=kind.prompt or prompt,
    )  # fmt: skip


def _examples(
    source: HubDataset, columns: Mapping[str, str], classes: Sequence[str], load: Load, name: str, split: str, seed: int
) -> tuple[Any, ...]:
    if split not in source.splits:
        raise InputError(f"The task {name!r} has no split {split!r}; set tasks.hub.{name}.splits.{split}.")
    data, kind = load(split), KINDS[source.objective]
    if not len(data):
        raise InputError(f"The {split} split of tasks.hub.{name} is empty.")
    examples = []
    for position, values in enumerate(data):
        where = f"{name} {split}, row {position}"
        fields = {field: values[column] for field, column in columns.items()}
        if kind.label:
            fields[kind.label] = _named(fields[kind.label], classes, where)
        examples.append(kind.example(source, classes, fields, where, name))
    return tuple(examples)


def _classes_of(source: HubDataset, feature: Any, name: str) -> tuple[str, ...]:
    """The names of the classes of a column, or of the members of its lists; none where it has no classes."""
    inner = feature.feature if isinstance(feature, datasets.List) else feature
    names = tuple(inner.names) if isinstance(inner, datasets.ClassLabel) else ()
    if source.labels and names and len(names) != len(source.labels):
        raise InputError(
            f"tasks.hub.{name}.labels has {len(source.labels)} words for the {len(names)} classes {', '.join(names)}."
        )
    return source.labels or names


def _named(value: Any, classes: Sequence[str], where: str) -> Any:
    """Numbers of classes as their names, in lists too; texts as they are."""
    if isinstance(value, list):
        return [_named(member, classes, where) for member in value]
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if not 0 <= value < len(classes):
        raise InputError(f"{where}: the class {value} has no name ({len(classes)} classes). Is this split unlabelled?")
    return classes[value]


def _texts(fields: Mapping[str, Any], field: str, where: str) -> list[str]:
    values = fields[field]
    if not isinstance(values, list) or not values or not all(isinstance(x, str) and x.strip() for x in values):
        raise InputError(f"{where}: expected a list of texts as the {field}, found {values!r:.80}.")
    return values


def _same_length(fields: Mapping[str, Sequence[Any]], where: str) -> None:
    lengths = {field: len(values) for field, values in fields.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{n} {field}" for field, n in lengths.items())
        raise InputError(f"{where}: expected one of each for every word, found {counts}.")


def _tags(source: HubDataset, classes: Sequence[str], name: str) -> tuple[str, ...]:
    if _is_of_entities(source, classes):
        kinds = {source.relabel.get(tag[2:], tag[2:]) for tag in classes if tag != OUTSIDE}
        return entity_labels(source.types or kinds - {OUTSIDE})
    if not classes:
        raise InputError(
            f"The tags of tasks.hub.{name} have no list of names: set tasks.hub.{name}.types (types of entity) or "
            f"tasks.hub.{name}.labels (all tags)."
        )
    return tuple(sorted({source.relabel.get(tag, tag) for tag in classes}))


def _is_of_entities(source: HubDataset, classes: Sequence[str]) -> bool:
    return bool(source.types) or (bool(classes) and all(map(is_entity_tag, classes)))


def _tagged(
    source: HubDataset, classes: Sequence[str], fields: Mapping[str, Any], where: str, name: str
) -> TaggedWords:
    words, tags = _texts(fields, "words", where), _texts(fields, "tags", where)
    _same_length({"words": words, "tags": tags}, where)
    if _is_of_entities(source, classes):
        checked = entity_tags(tags, lambda _: where, source.types, source.relabel)
    else:
        checked = single_tags(tags, lambda _: where, _tags(source, classes, name), source.relabel, "the classes")
    return TaggedWords(task=name, words=tuple(words), tags=checked)


def _classes(source: HubDataset, classes: Sequence[str], name: str) -> tuple[str, ...]:
    if not classes:
        raise InputError(f"The labels of tasks.hub.{name} have no list of names: set tasks.hub.{name}.labels.")
    return tuple(sorted({source.relabel.get(label, label) for label in classes}))


def _labelled(
    source: HubDataset, classes: Sequence[str], fields: Mapping[str, Any], where: str, name: str
) -> LabelledTexts:
    texts = [fields[field] for field in fields if field != "label"]
    if not all(isinstance(text, str) for text in texts) or not any(map(str.strip, texts)):
        raise InputError(f"{where}: expected texts, found {texts!r:.80}.")
    label = fields["label"]
    if not isinstance(label, str):
        raise InputError(f"{where}: expected a label, found {label!r:.80}.")
    if label not in classes:
        raise InputError(f"{where}: {label!r:.80} is not a label of {name!r}. {suggestion(label, classes)}")
    return LabelledTexts(task=name, texts=tuple(texts), label=source.relabel.get(label, label))


def _relations(source: HubDataset, classes: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(sorted(closed_relations(TreebankOptions(relations=source.labels))))


def _parsed(
    source: HubDataset, classes: Sequence[str], fields: Mapping[str, Any], where: str, name: str
) -> ParsedWords:
    words, relations = _texts(fields, "words", where), _texts(fields, "relations", where)
    heads = [str(head) for head in fields["heads"]] if isinstance(fields["heads"], list) else []
    _same_length({"words": words, "heads": heads, "relations": relations}, where)
    rows = [row for row in zip(words, heads, relations, strict=True) if row[1] not in NO_HEAD]
    if not rows:
        raise InputError(f"{where}: no word has a head.")
    options = TreebankOptions(relations=source.labels)
    words, heads, relations = (list(column) for column in zip(*rows, strict=True))
    return checked_parse(name, words, heads, relations, lambda _: where, options)


def _no_labels(source: HubDataset, classes: Sequence[str], name: str) -> tuple[str, ...]:
    return ()


def _question(
    source: HubDataset, classes: Sequence[str], fields: Mapping[str, Any], where: str, name: str
) -> ContextQuestion:
    return checked_question(with_listed_answers(fields, where), fields["context"], where, name)


def _response(
    source: HubDataset, classes: Sequence[str], fields: Mapping[str, Any], where: str, name: str
) -> DialogueExample:
    return DialogueExample(
        task=name, history=alternating(texts_in(fields, "history", where)), knowledge=snippets(fields, where),
        outputs=(text_in(fields, "response", where),), location=where,
    )  # fmt: skip


def _chat(
    source: HubDataset, classes: Sequence[str], fields: Mapping[str, Any], where: str, name: str
) -> DialogueExample:
    return chat_examples(fields, where, name, each=False)[-1]


KINDS: dict[str, Kind] = {  # an entry for each of HUB_COLUMNS
    "tagging": Kind(label="tags", metric="", prompt="{input}", labels=_tags, example=_tagged),
    "classification": Kind(label="label", metric="Label-ACC", prompt="", labels=_classes, example=_labelled),
    "parsing": Kind(label="relations", metric="las", prompt="{input}", labels=_relations, example=_parsed),
    "spans": Kind(label="", metric="Span-F1", prompt="", labels=_no_labels, example=_question),
    "dialogue": Kind(label="", metric="BLEU", prompt=PROMPT, labels=_no_labels, example=_response),
    "chat": Kind(label="", metric="BLEU", prompt=PROMPT, labels=_no_labels, example=_chat),
}
