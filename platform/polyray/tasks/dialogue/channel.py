"""Examples of a noisy channel: the knowledge behind a response, and a response without its knowledge.

Daheim et al. 2022 (arXiv:2210.17418): p(response | history, K) ~ p(K | history, response) * p(response | history).
"""

from dataclasses import replace

from polyray.tasks.dialogue.example import DialogueExample, Turn


def of_channel(example: DialogueExample, response: str) -> DialogueExample:
    """The knowledge as the target, given the history and then the response; the example has knowledge."""
    history = (*example.history, Turn(speaker="system", text=response))
    return replace(example, history=history, knowledge=(), outputs=(" ".join(example.knowledge),), control=())


def of_language_model(example: DialogueExample, response: str) -> DialogueExample:
    """The response as the target, given the history alone."""
    return replace(example, knowledge=(), outputs=(response,), control=())
