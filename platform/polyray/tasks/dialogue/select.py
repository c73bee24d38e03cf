"""Training data of experts and anti-experts: rules that take some of the responses, or change their knowledge.

Daheim et al. 2024 (arXiv:2303.17574), section 4; Choubey et al. 2023 (arXiv:2110.07166) for entailment.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.metrics.fragments import Extraction, extraction
from polyray.tasks.dialogue.entailment import as_premise, entailments
from polyray.tasks.dialogue.options import DialogueOptions
from polyray.tasks.dialogue.record import Record, Splits
from polyray.tasks.dialogue.terciles import Terciles

HALLUCINATION = "Hallucination"


def selected(records: Splits, options: DialogueOptions, task: str) -> Splits:
    """The records that the rules of `options.select` leave, in each split; all where there are no rules.

    Raises:
        InputError: a rule leaves none of a split, or cannot be applied.
    """
    for name in options.select.rules:
        records = {split: rows for split, rows in RULES[name](records, options).items() if records[split]}
        for split, rows in records.items():
            if not rows:
                raise InputError(f"tasks.select.{name} leaves none of the responses of the {split} split of {task!r}.")
    return records


def figures(before: Splits, after: Splits) -> dict[str, Any]:
    """For each split the number of responses, before and after selection, and the mean coverage and density."""
    counts = {}
    for split, rows in after.items():
        extractions = [fragments(record) for record in rows]
        counts[split] = {
            "of": len(before[split]), "rows": len(rows), "coverage": fmean(x.coverage for x in extractions),
            "density": fmean(x.density for x in extractions),
        }  # fmt: skip
    return counts


def fragments(record: Record) -> Extraction:
    """Extractive fragments of the response in its knowledge."""
    return extraction(record.example.target, as_premise(record.example.knowledge))


def _labelled(records: Splits, options: DialogueOptions) -> Splits:
    known = {label for rows in records.values() for record in rows for label in record.labels}
    for label in options.select.labels:
        if label not in known:
            raise InputError(
                f"tasks.select.labels: no response is annotated as {label!r:.80}. {suggestion(label, known)}"
            )
    chosen = {*options.select.labels}
    return {split: [record for record in rows if chosen & {*record.labels}] for split, rows in records.items()}


def _hallucinated(records: Splits, options: DialogueOptions) -> Splits:
    return {
        split: [
            replace(record, example=replace(record.example, outputs=(record.original,)), original="")
            for record in rows
            if record.original and HALLUCINATION in record.labels
        ]
        for split, rows in records.items()
    }


def _swapped(records: Splits, options: DialogueOptions) -> Splits:
    drawing = random.Random(options.select.seed)
    return {split: _with_other_knowledge(rows, drawing, split) for split, rows in records.items()}


def _with_other_knowledge(records: Sequence[Record], drawing: random.Random, split: str) -> list[Record]:
    sources = [record for record in records if record.example.knowledge]
    if len({record.dialogue for record in sources}) < 2:
        raise InputError(f"tasks.select.swap needs two dialogues with knowledge in the {split} split.")
    swapped = []
    for record in records:
        other = drawing.choice(sources)
        while other.dialogue == record.dialogue:
            other = drawing.choice(sources)
        swapped.append(replace(record, example=replace(record.example, knowledge=other.example.knowledge)))
    return swapped


def _by_entailment(records: Splits, options: DialogueOptions) -> Splits:
    expected = options.select.entailment == "entailed"
    return {
        split: [row for row, entailed in zip(rows, entailed_rows(rows, options), strict=True) if entailed == expected]
        for split, rows in records.items()
    }


def entailed_rows(records: Sequence[Record], options: DialogueOptions) -> list[bool]:
    """Whether the knowledge of each record entails its response.

    Raises:
        InputError: options.classifier is no classifier.
    """
    pairs = [(as_premise(record.example.knowledge), record.example.target) for record in records]
    return entailments(options.classifier, pairs)


def _abstractive(records: Splits, options: DialogueOptions) -> Splits:
    extractions = {split: [fragments(record) for record in rows] for split, rows in records.items()}
    first = next(iter(extractions.values()))
    coverage, density = Terciles.of([x.coverage for x in first]), Terciles.of([x.density for x in first])
    return {
        split: [
            record
            for record, x in zip(rows, extractions[split], strict=True)
            if coverage.third(x.coverage) > 0 and density.third(x.density) == 0
        ]
        for split, rows in records.items()
    }


RULES: Mapping[str, Callable[[Splits, DialogueOptions], Splits]] = {  # an entry for each rule of SelectOptions
    "labels": _labelled, "hallucinated": _hallucinated, "swap": _swapped, "entailment": _by_entailment,
    "abstractive": _abstractive,
}  # fmt: skip
