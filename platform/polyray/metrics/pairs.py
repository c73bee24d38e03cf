"""Predictions beside their accepted answers."""

from collections.abc import Callable, Sequence


def paired(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    """Each prediction with its accepted answers.

    Raises:
        ValueError: there is nothing to score, the lengths differ, or an example has no answer.
    """
    if len(predictions) != len(answers):
        raise ValueError(f"Found {len(predictions)} predictions for {len(answers)} examples; expected one for each.")
    if not predictions:
        raise ValueError("There is nothing to score: no predictions.")
    for position, accepted in enumerate(answers):
        if isinstance(accepted, str) or not accepted:
            raise ValueError(
                f"Example {position} has {accepted!r} as answers; expected a sequence of at least one text."
            )
    return list(zip(predictions, answers, strict=True))


def mean_of_best(
    score: Callable[[str, str], float], predictions: Sequence[str], answers: Sequence[Sequence[str]]
) -> float:
    """Mean over examples of the best `score(prediction, answer)` over the example's accepted answers."""
    pairs = paired(predictions, answers)
    return sum(max(score(prediction, answer) for answer in accepted) for prediction, accepted in pairs) / len(pairs)
