"""Dialogues of some words with knowledge, as JSON lines, that a tiny network answers in no time."""

import json
from pathlib import Path

PLACES = ("inn", "spa", "pub", "bar")


def write_dialogues(folder: Path, n: int = 8) -> tuple[str, ...]:
    """A task of `n` training, and four dev and test dialogues of one question; the overrides that choose it."""
    (folder / "places").mkdir(parents=True)
    for split, size in (("train", n), ("dev", 4), ("test", 4)):
        rows = []
        for number in range(size):
            venue, word = PLACES[number % 4], ("open", "shut")[number % 2]
            question = {"role": "user", "content": f"{venue} {split} {number}?"}
            answer = {"role": "assistant", "content": f"{word}."}
            rows.append({"messages": [question, answer], "knowledge": f"{venue} {word}"})
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "places" / f"{split}.jsonl").write_text(lines)
    return "suite=messages", f"tasks.path={folder}", "tasks.targets=each"
