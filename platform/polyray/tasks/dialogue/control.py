"""Control tokens: how faithful a training response is to its knowledge, said before the input (CTRL).

Rashkin et al. 2021 (arXiv:2107.06963), as Daheim et al. 2024 (arXiv:2303.17574) use it.
"""

from collections.abc import Sequence
from dataclasses import replace

from polyray.metrics.fragments import words
from polyray.tasks.dialogue.entailment import as_premise
from polyray.tasks.dialogue.options import ControlOptions, DialogueOptions
from polyray.tasks.dialogue.record import Record, Splits
from polyray.tasks.dialogue.select import entailed_rows
from polyray.tasks.dialogue.terciles import Terciles

PRECISION = ("<low-prec>", "<med-prec>", "<high-prec>")
ENTAILMENT = ("<non-entailed>", "<entailed>")
LEARNED = "train"  # the split whose responses are described


def tokens_of_answers(options: ControlOptions) -> tuple[str, ...]:
    """The tokens before an input that is to be answered."""
    return (*([PRECISION[-1]] if options.precision else []), *([ENTAILMENT[-1]] if options.entailment else []))


def with_control(records: Splits, options: DialogueOptions) -> Splits:
    """The records with their tokens: in the training split those of each response, else those of answers.

    Raises:
        InputError: tasks.control.entailment is set, and options.classifier is no classifier.
    """
    fixed = tokens_of_answers(options.control)
    if not fixed:
        return records
    return {
        split: _with_tokens(rows, _described(rows, options) if split == LEARNED else [fixed] * len(rows))
        for split, rows in records.items()
    }


def _with_tokens(records: Sequence[Record], tokens: Sequence[tuple[str, ...]]) -> list[Record]:
    pairs = zip(records, tokens, strict=True)
    return [replace(record, example=replace(record.example, control=control)) for record, control in pairs]


def _described(records: Sequence[Record], options: DialogueOptions) -> list[tuple[str, ...]]:
    """The tokens of each response."""
    columns: list[list[str]] = []
    if options.control.precision:
        precisions = [lexical_precision(record) for record in records]
        terciles = Terciles.of(precisions)
        columns.append([PRECISION[terciles.third(value)] for value in precisions])
    if options.control.entailment:
        columns.append([ENTAILMENT[entailed] for entailed in entailed_rows(records, options)])
    return list(zip(*columns, strict=True))


def lexical_precision(record: Record) -> float:
    """Share of the response's words that stand in its knowledge; 0 where it has no words."""
    knowledge = {*words(as_premise(record.example.knowledge))}
    written = words(record.example.target)
    return sum(word in knowledge for word in written) / max(1, len(written))
