"""Options of the suites of dialogues."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from polyray.config import Section
from polyray.lookup import all_known
from polyray.tasks.options import SelectionOptions
from polyray.tasks.task import SPLITS

PROMPT = "Answer the user with the help of this knowledge:\n{knowledge}"


class SelectOptions(Section):
    """Responses to take, for training data of experts and anti-experts; several rules are applied one by one."""

    labels: tuple[str, ...] = ()
    """Responses with one of these annotations: [Fully attributable] of begin, [Hallucination] of faithdial."""
    hallucinated: bool = False
    """Faithdial: responses that were edited and whose original is annotated as Hallucination, with that original as
    the target."""
    swap: bool = False
    """Give each response the knowledge of a response of another dialogue, drawn at random."""
    entailment: Literal["all", "entailed", "non-entailed"] = "all"
    """Responses that tasks.classifier finds entailed by their knowledge, or not entailed."""
    abstractive: bool = False
    """Responses with density in the lowest third and coverage above it: they say in their own words what the knowledge
    says."""
    seed: int = 0
    """Seed of the drawing."""

    @property
    def rules(self) -> tuple[str, ...]:
        """Names of the rules that are applied."""
        return tuple(name for name in type(self).model_fields if name != "seed" and vars(self)[name] not in _ALL)

    def unread(self) -> Mapping[str, str]:
        """The seed where nothing is drawn."""
        return {} if self.swap else {"seed": "tasks.select.swap is false"}


_ALL = ((), False, "all")  # values of rules that take every response


class ControlOptions(Section):
    """Control tokens before the input (CTRL, Rashkin et al. 2021): those of a training example say how its response is.

    Dev and test examples, and inputs of `polyray predict`, have <high-prec> <entailed>, of the kinds that are on.
    """

    precision: bool = False
    """<low-prec>, <med-prec> or <high-prec>: the third of the training split in which the share of the response's words
    that stand in the knowledge lies."""
    entailment: bool = False
    """<entailed> or <non-entailed>, as tasks.classifier finds."""


class DialogueOptions(SelectionOptions):
    """A suite of dialogues whose responses are grounded in knowledge."""

    files: ClassVar[frozenset[str]] = frozenset({"path", "partition", "classifier"})

    splits: dict[str, str] = Field(default_factory=dict)
    """Splits to make of the files' splits: {train: test, test: dev}; empty: as they are. Dev and test that are not
    there are taken from train, every ninth and tenth of ten dialogues."""
    prompt: str = PROMPT
    """Instruction to a backbone whose tokenizer has a chat template, with the knowledge in braces; others read the
    knowledge between markers."""
    metric: str = "BLEU"
    """Metric of the tasks: see `polyray list metrics`."""
    select: SelectOptions = SelectOptions()
    """Responses to take."""
    control: ControlOptions = ControlOptions()
    """Control tokens before the input."""
    target: Literal["response", "knowledge", "ungrounded"] = "response"
    """Text to learn: the response; or, for the two networks of a noisy channel, the knowledge, given the dialogue with
    its response, and the response without the knowledge."""
    classifier: str = ""
    """Folder of a transformers classifier of premise and hypothesis with a label `entailment`, for select.entailment
    and control.entailment."""

    @field_validator("splits")
    @classmethod
    def _splits_there_are(cls, splits: dict[str, str]) -> dict[str, str]:
        if splits:
            all_known(dict.fromkeys([*splits, *splits.values()]), SPLITS, "split")
        return splits

    @field_validator("prompt")
    @classmethod
    def _with_knowledge(cls, prompt: str) -> str:
        if prompt.count("{knowledge}") != 1 or set(prompt.replace("{knowledge}", "")) & set("{}"):
            raise ValueError("expected one {knowledge} and no other braces")
        return prompt

    def unread(self) -> Mapping[str, str]:
        """The classifier where nothing is classified; control tokens where no response is learned from knowledge."""
        control = {} if self.target == "response" else {"control": f"tasks.target is {self.target}"}
        if self.select.entailment != "all" or self.control.entailment:
            return control
        return {**control, "classifier": "neither tasks.select.entailment nor tasks.control.entailment is set"}


class WizardOptions(DialogueOptions):
    """The suite of Wizard of Wikipedia."""

    unseen: bool = False
    """Validate and test on topics that training has not seen (`_topic_split`), else on topics that it has."""


class BeginOptions(DialogueOptions):
    """The suite of BEGIN."""

    each_label: bool = False
    """Make one task of the responses of each label, such as begin-wow-fully-attributable, to score them apart."""


class ChatOptions(DialogueOptions):
    """The suite of chats as JSON lines."""

    targets: Literal["all", "last", "each"] = "all"
    """Messages of the assistant to learn from: all of a chat at once, which needs a causal backbone; its last one; or
    each as an example of its own."""
