"""The three networks of Q2: they ask a question, answer it, and compare two answers."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field

from polyray.config import Section
from polyray.errors import InputError
from polyray.judges.frozen import Frozen, label_names

Label = Literal["entailment", "neutral", "contradiction"]
_LABELS: tuple[Label, ...] = ("entailment", "neutral", "contradiction")


class Q2Options(Section):
    """Q2 of responses: needs all three networks."""

    files: ClassVar[frozenset[str]] = frozenset({"questions", "answers", "entailment", "spacy"})

    questions: str = ""
    """Folder of a sequence-to-sequence network that writes a question for "answer: A  context: C", such as T5-base
    fine-tuned on SQuAD; empty: no Q2."""
    answers: str = ""
    """Folder of a network that finds answers in a text, trained with unanswerable questions (SQuAD 2)."""
    entailment: str = ""
    """Folder of a classifier of premise and hypothesis whose labels name entailment, neutral and contradiction."""
    spacy: str = ""
    """Folder of an English spaCy pipeline that finds the spans asked about; empty: runs of content words, by rule."""
    n_questions: int = Field(5, ge=1)
    """Questions for each span, the likeliest of as many beams; the first valid one counts."""
    personal: Literal["remove", "keep"] = "remove"
    """Questions about the speakers themselves."""
    max_question: int = Field(128, ge=1)
    """Tokens of a question at most."""
    max_length: int = Field(512, ge=3)
    """Tokens that a network reads at most; longer texts are cut, and counted."""
    batch: int = Field(32, ge=1)
    """Texts at once."""

    def unread(self) -> Mapping[str, str]:
        """All others where there is no network."""
        others = () if self.questions else set(type(self).model_fields) - {"questions"}
        return dict.fromkeys(others, "questions is empty")


class QuestionWriter:
    """A sequence-to-sequence network that asks for a span of a text."""

    def __init__(self, options: Q2Options) -> None:
        self.options, self.frozen = options, Frozen.load(options.questions, "q2.questions", "AutoModelForSeq2SeqLM")

    @torch.no_grad()
    def __call__(self, spans: Sequence[tuple[str, str]]) -> list[list[str]]:
        """Questions whose answer is the span, likeliest first, for pairs of span and text."""
        n, written = self.options.n_questions, dict[int, list[str]]()
        prompts = [(f"answer: {span}  context: {text}",) for span, text in spans]
        encoded = self.frozen.encode(prompts, self.options.max_length)
        for indices, batch in self.frozen.batches(encoded, self.options.batch):
            tokens = self.frozen.network.generate(  # type: ignore[operator]
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=False,
                max_length=self.options.max_question, num_beams=n, num_return_sequences=n, no_repeat_ngram_size=3,
                early_stopping=True,
            )  # fmt: skip
            texts = self.frozen.tokenizer.batch_decode(tokens, skip_special_tokens=True)
            questions = [text.replace("question: ", "", 1) for text in texts]
            written.update((index, questions[row * n : (row + 1) * n]) for row, index in enumerate(indices))
        return [written[index] for index in range(len(spans))]


class Reader:
    """A network that finds the answer to a question in a text."""

    def __init__(self, options: Q2Options) -> None:
        self.options, self.frozen = options, Frozen.load(options.answers, "q2.answers", "AutoModelForQuestionAnswering")

    @torch.no_grad()
    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[str | None]:
        """The answer for pairs of question and text: from the likeliest first to the likeliest last token.

        None where the first token of all is the likeliest one, which stands for no answer; empty where the last one
        comes before the first.
        """
        answers: dict[int, str | None] = {}
        encoded = self.frozen.encode(pairs, self.options.max_length)
        for indices, batch in self.frozen.batches(encoded, self.options.batch):
            output = self.frozen.network(**batch)
            padding = batch["attention_mask"] == 0
            first, last = (
                logits.masked_fill(padding, -torch.inf).argmax(-1).tolist()
                for logits in (output.start_logits, output.end_logits)
            )
            for row, index in enumerate(indices):
                ids = batch["input_ids"][row, first[row] : last[row] + 1].tolist()
                text = str(self.frozen.tokenizer.decode(ids, skip_special_tokens=True))
                answers[index] = text if first[row] else None
        return [answers[index] for index in range(len(pairs))]


class Entailment:
    """A classifier that tells whether a premise entails or contradicts a hypothesis."""

    def __init__(self, options: Q2Options) -> None:
        """Load it.

        Raises:
            InputError: it cannot be loaded, or its labels have other names.
        """
        self.options = options
        self.frozen = Frozen.load(options.entailment, "q2.entailment", "AutoModelForSequenceClassification")
        names = label_names(self.frozen)
        named = {number: next((x for x in _LABELS if x in name.lower()), None) for number, name in names.items()}
        self._labels = {number: label for number, label in named.items() if label}
        if sorted(self._labels.values()) != sorted(_LABELS) or len(named) != len(_LABELS):
            raise InputError(
                f"q2.entailment={options.entailment}: expected the labels {', '.join(_LABELS)} in its config's "
                f"id2label, found {', '.join(names.values())}."
            )

    @torch.no_grad()
    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Label]:
        """The likeliest label for pairs of premise and hypothesis."""
        labels: dict[int, Label] = {}
        encoded = self.frozen.encode(pairs, self.options.max_length)
        for indices, batch in self.frozen.batches(encoded, self.options.batch):
            best = self.frozen.network(**batch).logits.argmax(-1).tolist()
            labels.update((index, self._labels[number]) for index, number in zip(indices, best, strict=True))
        return [labels[index] for index in range(len(pairs))]
