"""Small files in the formats of dialogue data sets."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from polyray.tasks import Suite, TasksOptions, load_suite

LABELS = ("Fully attributable", "Not fully attributable", "Generic")
LOGS: list[list[dict[str, Any]]] = [
    [
        {"speaker": "U", "text": "An inn?"},
        {"speaker": "S", "text": "The Inn."},
        {"speaker": "U", "text": "Is it free?"},
    ],
    [{"speaker": "U", "text": "Thanks.", "nbest": [{"hyp": "Thanks", "score": -1.5}]}],
]
SENTENCE = {"domain": "hotel", "entity_id": 7, "doc_type": "review", "doc_id": 0, "sent_id": 1}
FAQ = {"domain": "hotel", "entity_id": 7, "doc_type": "faq", "doc_id": 2}
ANSWER = {"target": True, "knowledge": [SENTENCE, FAQ], "response": "Yes.", "source": "spoken"}
REVIEWS = {
    "hotel": {
        "7": {
            "name": "INN", "reviews": {"0": {"traveler_type": "Solo", "sentences": {"1": "It was free."}}},
            "faqs": {"2": {"question": "Wifi?", "answer": "There is."}},
        }
    }
}  # fmt: skip


def load(kind: str, folder: Path, **fields: object) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": kind, "path": str(folder), **fields}))


def write_json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")


def write_dstc(
    folder: Path, *, logs: Any = LOGS, labels: Any = (ANSWER, {"target": False}), knowledge: Any = REVIEWS
) -> None:
    write_json(folder / "train" / "logs.json", logs)
    write_json(folder / "train" / "labels.json", labels)
    write_json(folder / "knowledge.json", knowledge)


def write_begin(folder: Path, rows: Sequence[tuple[str, str, str, str]], split: str = "test") -> None:
    """Rows of knowledge, message, response and label."""
    lines = [
        "model_name\tdata_source\tknowledge\tmessage\tresponse\tbegin_label",
        *("\t".join(("t5", "wow", *row)) for row in rows),
    ]
    (folder / f"begin_{split}_wow.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_chats(folder: Path, *chats: Any, split: str = "train") -> None:
    file = folder / "chats" / f"{split}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(chat) + "\n" for chat in chats), encoding="utf-8")


def chat(*contents: str, **fields: Any) -> dict[str, Any]:
    """Messages of user and assistant in turn."""
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": content} for number, content in enumerate(contents)]
    return {"messages": messages, **fields}
