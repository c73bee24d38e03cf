"""Tunings that take a tenth of a second: a tagging task that the smallest encoder learns, and runs that are stopped."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.config import load_config
from polyray.errors import Interrupted
from polyray.runs.run import Run
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.training import tune
from polyray.training.worker import Alone

TAGS = {"Ada": "B-PER", "Bo": "B-PER", "Rome": "B-LOC", "sees": "O", "walks": "O"}
TINY = (
    "suite=conll", "tasks.train_splits=[train]", "training.steps=2", "training.lr=1e-2", "training.batch=4",
    "training.report_every=1", "training.save_every=1", "evaluation.every=1", "evaluation.dev_examples=4",
    "training.keep=best",
)  # fmt: skip


def write_names(folder: Path, task: str = "names", seed: int = 0) -> None:
    """A task of sentences of three words out of five, each word with one tag."""
    (folder / task).mkdir(parents=True)
    draw = random.Random(seed)
    for split, n in (("train", 12), ("dev", 4), ("test", 4)):
        sentences = [[draw.choice(list(TAGS)) for _ in range(3)] for _ in range(n)]
        lines = [[f"{word} {TAGS[word]}" for word in words] + [""] for words in sentences]
        (folder / task / f"{split}.txt").write_text("\n".join(line for of in lines for line in of) + "\n")


def recipe_of(data: Path, *more: str) -> TuningRecipe:
    """The tiny tuning on the tasks in `data`; more: overrides."""
    return load_config(TuningRecipe, overrides=[*TINY, f"tasks.path={data}", *more])


def tune_alone(out: Path, recipe: TuningRecipe) -> Mapping[str, Any]:
    """The metrics of a tuning by the only worker, outside Ray, in the folder `out`."""
    out.mkdir(exist_ok=True)
    return tune(recipe.model_dump(mode="json"), Run(out), Alone())


class Stopped(Run):
    """A run that is asked to stop after every step."""

    @property
    def stop_requested(self) -> bool:
        """Yes."""
        return True


def tune_with_stops(out: Path, recipe: TuningRecipe) -> int:
    """Tune, stopped after every step and begun again, to the end; the number of starts."""
    out.mkdir()
    for starts in range(1, 100):
        try:
            tune(recipe.model_dump(mode="json"), Stopped(out), Alone())
        except Interrupted:
            continue
        return starts
    raise AssertionError("no end")


def files_of(out: Path) -> dict[str, bytes]:
    """Every byte of a tuning that must not depend on when it was stopped."""
    files = [out / "metrics.jsonl", *sorted((out / "skills").rglob("*.*"))]
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def different(first: Path, second: Path) -> list[str]:
    """Files of two tunings that differ."""
    one, other = files_of(first), files_of(second)
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
