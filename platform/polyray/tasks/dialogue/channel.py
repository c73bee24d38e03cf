"""Examples of a noisy channel: the knowledge behind a response, and a response without its knowledge.

Daheim et al. 2022 (arXiv:2210.17418): p(response | history, K) ~ p(K | history, response) * p(response | history).
"""

from collections.abc import Sequence
from dataclasses import replace

from polyray.errors import InputError
from polyray.tasks.dialogue.example import DialogueExample, Turn
from polyray.tasks.dialogue.options import DialogueOptions


def of_channel(example: DialogueExample, response: str) -> DialogueExample:
    """The knowledge as the target, given the history and then the response; the example has knowledge."""
    history = (*example.history, Turn(speaker="system", text=response))
    return replace(example, history=history, knowledge=(), outputs=(" ".join(example.knowledge),), control=())


def of_language_model(example: DialogueExample, response: str) -> DialogueExample:
    """The response as the target, given the history alone."""
    return replace(example, knowledge=(), outputs=(response,), control=())


def with_target(
    examples: Sequence[DialogueExample], options: DialogueOptions, task: str
) -> tuple[DialogueExample, ...]:
    """The examples with the target that `options.target` names; those without knowledge have none to learn.

    Raises:
        InputError: the knowledge is to be learned, and none has any.
    """
    if options.target == "response":
        return tuple(examples)
    if options.target == "ungrounded":
        return tuple(replace(of_language_model(example, ""), outputs=example.outputs) for example in examples)
    grounded = tuple(of_channel(example, example.target) for example in examples if example.knowledge)
    if not grounded:
        raise InputError(f"tasks.target=knowledge: no response of a split of the task {task!r} has knowledge.")
    return grounded
