"""The `tasks.*` section of every job."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from polyray.config import Section
from polyray.errors import InputError
from polyray.formats import check_name
from polyray.lookup import all_known
from polyray.metrics import METRICS
from polyray.tasks.planted import PlantedOptions
from polyray.tasks.task import SPLITS

HUB_COLUMNS: dict[str, dict[str, str]] = {  # by objective: the fields that it reads, and their usual columns
    "tagging": {"words": "tokens", "tags": "ner_tags"},
    "classification": {"premise": "premise", "hypothesis": "hypothesis", "label": "label"},
    "parsing": {"words": "tokens", "heads": "head", "relations": "deprel"},
    "spans": {"question": "question", "context": "context", "answers": "answers"},
    "dialogue": {"history": "history", "knowledge": "knowledge", "response": "response"},
    "chat": {"messages": "messages"},
}


class HubDataset(Section):
    """One task made of a dataset that the `datasets` library can load."""

    files: ClassVar[frozenset[str]] = frozenset({"path", "data_files"})

    path: str
    """Name on the Hugging Face Hub ("super_glue"), a local folder, or a file format ("json", "csv", "parquet")."""
    config: str = ""
    """Configuration of the dataset ("rte"); empty: its only one."""
    revision: str = ""
    """Commit or tag on the hub; empty: the newest."""
    data_files: dict[str, str] = Field(default_factory=dict)
    """Files by the dataset's own name of a split; needed where `path` is a file format."""
    splits: dict[str, str] = Field(default_factory=lambda: {"train": "train", "dev": "validation", "test": "test"})
    """Which of the dataset's splits are train, dev and test; slices such as "train[:90%]" work."""
    objective: Literal["answers", "tagging", "classification", "parsing", "spans", "dialogue", "chat"] = "answers"
    """Objective, which puts the task to a network; answers reads `input` and `output`, the others read `columns`."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Column of each field: {words: tokens, tags: pos_tags} for tagging, {text: sentence, label: label} or {premise:
    premise, hypothesis: hypothesis, label: label} for classification, {words, heads, relations} for parsing, {question,
    context, answers} for spans, {history, knowledge, response} for dialogue, {messages} for chat; empty: the usual
    ones."""
    types: tuple[str, ...] = ()
    """Tagging: types of entity to keep; empty: all."""
    relabel: dict[str, str] = Field(default_factory=dict)
    """Tagging and classification: new names of types, tags or labels."""
    input: str = ""
    """Input: a column, or a template over columns: "premise: {premise} [SEP] hypothesis: {hypothesis}"."""
    output: str = ""
    """Output: a column or a template over columns. A lone column with a list of texts gives all accepted answers."""
    labels: tuple[str, ...] = ()
    """Words for the classes in the order of their numbers; empty: the dataset's own names, if it has any."""
    metric: str = ""
    """Metric of the task; empty: ACC with labels, EM without."""
    category: str = ""
    """Kind of task, for `include`."""

    @field_validator("splits")
    @classmethod
    def _splits_there_are(cls, splits: dict[str, str]) -> dict[str, str]:
        all_known(splits, SPLITS, "split")
        return splits

    @field_validator("metric")
    @classmethod
    def _metric_there_is(cls, metric: str) -> str:
        if metric:
            all_known([metric], METRICS, "metric")
        return metric

    @field_validator("input", "output")
    @classmethod
    def _as_template(cls, text: str) -> str:
        return text if "{" in text or not text else f"{{{text}}}"

    @model_validator(mode="after")
    def _fields_of_the_objective(self) -> "HubDataset":
        answers = self.objective == "answers"
        if answers and not (self.input and self.output):
            raise ValueError("a task of answers needs input and output")
        unread = ("columns", "types", "relabel") if answers else ("input", "output")
        written = [field for field in unread if getattr(self, field)]
        if written:
            raise ValueError(f"{written[0]} is not read with objective={self.objective}")
        expected = set(HUB_COLUMNS.get(self.objective, {}))
        if self.objective == "classification":
            texts = [field for field in self.columns if field != "label"] or ["text"]
            expected = {*texts[:2], "label"}
        if self.columns and set(self.columns) != expected:
            raise ValueError(f"columns names {', '.join(self.columns)}; expected {', '.join(sorted(expected))}")
        return self


class SelectionOptions(Section):
    """Which tasks of a suite to take."""

    files: ClassVar[frozenset[str]] = frozenset({"path", "partition"})

    path: str = ""
    """Folder with the data."""
    partition: str = ""
    """Which tasks are train, dev and test: a name in PATH/custom_tasks_splits or a JSON file; empty: all are train."""
    include: tuple[str, ...] = ()
    """Take only tasks whose name or category matches a pattern ("bbh-*", "classification/*"); empty: all."""


class FolderOptions(SelectionOptions):
    """A suite whose tasks answer an input text with a text."""

    labelled: bool = False
    """Take only tasks with a closed set of answers for every example."""
    prompt_name: bool = True
    """Begin each input with the task's name: "[TASK] INPUT", as CrossFit does."""


class HubOptions(FolderOptions):
    """A suite of datasets that the `datasets` library loads; `path` may hold partitions."""

    hub: dict[str, HubDataset] = Field(default_factory=dict)
    """Tasks by name, for example {rte: {path: super_glue, config: rte, input: ..., output: ...}}."""

    @field_validator("hub")
    @classmethod
    def _printable_names(cls, hub: dict[str, HubDataset]) -> dict[str, HubDataset]:
        for name in hub:
            try:
                check_name(name, "task")
            except InputError as error:
                raise ValueError(str(error)) from None
        return hub


class ColumnOptions(SelectionOptions):
    """A suite of sequence tagging tasks in CoNLL columns."""

    word_column: int | None = None
    """Column of the words, from 0, or from the end with -1; empty: 0, in .conllu files 1 (FORM)."""
    tag_column: int | None = None
    """Column of the tags, from 0, or from the end with -1; empty: -1, in .conllu files 3 (UPOS)."""
    scheme: Literal["auto", "iob", "plain"] = "auto"
    """The tags: entities in IOB1, IOB2, BIOES or BILOU, or a tag for each word by itself; auto: iob, in .conllu files
    plain."""
    types: tuple[str, ...] = ()
    """Types of entity to keep (others become O), or the closed set of plain tags; empty: all in the task's files, for
    the UPOS of .conllu files the 17 that there are. Tasks with equal tags share a head."""
    relabel: dict[str, str] = Field(default_factory=dict)
    """New names of types of entity, or of plain tags: {DATE: O, PERSON: PER}; O: no entity."""


class ClassificationOptions(SelectionOptions):
    """A suite of texts, or pairs of texts, with labels."""

    texts: tuple[str, ...] = ("premise", "hypothesis")
    """Columns or fields of the text that is read, or of two that are read together."""
    label: str = "label"
    """Column or field of the label."""
    labels: tuple[str, ...] = ()
    """Closed set of labels; empty: those of the training examples, or of all where there are none. Tasks with equal
    labels share a head."""
    relabel: dict[str, str] = Field(default_factory=dict)
    """New names of labels: {e: entailment, n: neutral, c: contradiction}."""
    metric: Literal["Label-ACC", "Label-F1"] = "Label-ACC"
    """Metric of the tasks; the other one is reported beside it."""

    @field_validator("texts")
    @classmethod
    def _one_or_two(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if len(texts) not in (1, 2) or len(set(texts)) < len(texts):
            raise ValueError(f"expected one field or two different ones, found {len(texts)}: {', '.join(texts)}")
        for name in texts:
            if not name.strip() or set(name) & set("{}[].!:"):
                raise ValueError(f"{name!r} cannot stand in a prompt: rename the field")
        return texts


class SquadOptions(SelectionOptions):
    """A suite of questions whose answers stand in a text."""

    metric: Literal["Span-F1", "Span-EM"] = "Span-F1"
    """Metric of the tasks; the other one is reported beside it."""


class TreebankOptions(SelectionOptions):
    """A suite of dependency treebanks in CoNLL-U."""

    relations: tuple[str, ...] = ()
    """Closed set of relations; empty: the 37 of Universal Dependencies, with subtypes those in the task's files. Tasks
    with equal relations share a head."""
    subtypes: bool = False
    """Keep the subtypes of relations (nmod:poss); scores do not count them."""
    metric: Literal["las", "uas"] = "las"
    """Metric of the tasks; the other one is reported beside it."""


class RawTextOptions(SelectionOptions):
    """A suite of texts without labels."""

    path: str = ""
    """A text file, or a folder with text files and folders of them; each is a task."""


class PlantedSuiteOptions(Section):
    """The suite of planted tasks."""

    planted: PlantedOptions = PlantedOptions()
    """Numbers of planted tasks and of their examples, and their composition."""
