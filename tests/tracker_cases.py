"""A tracker that writes down its calls, and fails or hangs where a file in its store says so."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from polyray.config import Section
from polyray.runs.result import Status
from polyray.tracking.tracker import Opening

CALLS, AWAY, HANGS = "calls.jsonl", "away", "hangs"  # in the store


class DiaryOptions(Section):
    """The option of the diary."""

    chapter: str = "one"
    """Words that do nothing."""


class DiaryTracker:
    """Calls as JSON lines."""

    Options: ClassVar[type[Section]] = DiaryOptions
    package: ClassVar[str] = "json"
    install: ClassVar[str] = "nothing"

    def __init__(self, options: DiaryOptions) -> None:
        self._store, self._run = Path(), ""

    @staticmethod
    def environment(store: Path) -> dict[str, str]:
        return {"DIARY": str(store)}

    def start(self, opening: Opening, identifier: str | None) -> str:
        self._store = Path(opening.store)
        self._store.mkdir(parents=True, exist_ok=True)
        number = len({call["run"] for call in calls(self._store)})
        self._run = identifier if identifier is not None else f"run-{number}"
        details = {"name": opening.name, "group": opening.group, "tags": opening.tags, "fields": opening.parameters}
        self._write("start", resumed=identifier is not None, **details)
        print("a library that prints", flush=True)
        return self._run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._write("log", step=step, metrics=metrics)

    def finish(self, status: Status, step: int, metrics: Mapping[str, float]) -> None:
        self._write("finish", status=status, step=step, metrics=metrics)

    def _write(self, call: str, **values: Any) -> None:
        while (self._store / HANGS).exists():
            time.sleep(0.05)
        if (self._store / AWAY).exists():
            raise ConnectionError("nobody\nanswers")
        with (self._store / CALLS).open("a") as stream:
            stream.write(json.dumps({"call": call, "run": self._run, **values}) + "\n")


def calls(store: Path) -> list[dict[str, Any]]:
    """The calls so far."""
    file = store / CALLS
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def calls_in_short(store: Path) -> list[Any]:
    """The calls so far in short: started or resumed, the steps, and the status at the end."""
    words = {"start": lambda c: "resumed" if c["resumed"] else "started", "log": lambda c: c["step"]}
    return [words.get(call["call"], lambda c: c["status"])(call) for call in calls(store)]
