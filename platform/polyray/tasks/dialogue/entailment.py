"""Entailment between texts, by a classifier of the transformers library in a folder."""

from collections.abc import Sequence
from typing import Any

import torch

from polyray.errors import InputError
from polyray.formats import is_folder, user_path

BATCH, LONGEST = 32, 384  # pairs at once, tokens of a pair
POSITIVE = ("entailment", "entailed")  # names of the label


def entailments(classifier: str, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether each premise entails its hypothesis: the classifier's likeliest label is `entailment`.

    Args:
        classifier: folder of a transformers model for the classification of two texts.
        pairs: premise and hypothesis; long ones are cut.

    Raises:
        InputError: the folder holds no such model, or none of its labels is called `entailment`.
    """
    tokenizer, model, positive = _load(classifier)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    order = sorted(range(len(pairs)), key=lambda index: -sum(map(len, pairs[index])))
    positives: dict[int, bool] = {}
    with torch.no_grad():
        for start in range(0, len(order), BATCH):
            indices = order[start : start + BATCH]
            premises, hypotheses = zip(*(pairs[index] for index in indices), strict=True)
            read = tokenizer(
                list(premises), list(hypotheses), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"
            )
            labels = model(**read.to(device)).logits.argmax(-1)
            positives.update(zip(indices, (labels == positive).tolist(), strict=True))
    return [positives[index] for index in range(len(pairs))]


def _load(classifier: str) -> tuple[Any, Any, int]:
    """Tokenizer, model in evaluation mode, number of the label."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer  # costs a second, for few suites

    folder = user_path(classifier)
    if not classifier or not is_folder(folder):
        raise InputError(f"tasks.classifier = {classifier!r:.200} is not a folder; expected one with a classifier.")
    try:
        model = AutoModelForSequenceClassification.from_pretrained(str(folder))
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"tasks.classifier = {classifier!r}: {str(error).splitlines()[0]}") from None
    names = {int(number): str(name) for number, name in model.config.id2label.items()}
    positive = [number for number, name in names.items() if name.lower() in POSITIVE]
    if len(positive) != 1:
        raise InputError(
            f"tasks.classifier = {classifier!r} has the labels {', '.join(names.values())}; expected one that is "
            "called entailment. Name it so in id2label of its config.json."
        )
    return tokenizer, model.eval(), positive[0]


def as_premise(knowledge: Sequence[str]) -> str:
    """Snippets as one text."""
    return " ".join(knowledge)
