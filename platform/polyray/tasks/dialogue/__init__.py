"""Dialogue: responses of a system to its user, grounded in knowledge."""

from polyray.tasks.dialogue.example import DialogueExample, Speaker, Turn

__all__ = ["DialogueExample", "Speaker", "Turn"]
