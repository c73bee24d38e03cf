"""My own JSON lines, in a few lines of Python: train on several tasks at once, and score them.

The folder holds TASK.jsonl, one {"input": ..., "output": ...} a line, or TASK/{train,dev,test}.jsonl. Without a folder
two small tasks are written and learned: to name the first word of a list, and the last.

    python examples/my_jsonl.py [FOLDER]
"""

import itertools
import json
import random
import sys
import tempfile
from pathlib import Path

import torch

from polyray import (
    EvaluationOptions,
    InventorySpec,
    OptimizerOptions,
    SkillOptions,
    TasksOptions,
    TextOptions,
    build,
    encoded,
    load_backbone,
    load_suite,
    mixing,
    optimizer,
    predictions,
    score,
)


def learn(folder: Path, steps: int = 200) -> dict[str, dict[str, float]]:
    """The scores of each task in `folder` on its test examples after training."""
    suite = load_suite(TasksOptions.model_validate({"kind": "jsonl", "path": str(folder)}))
    backbone, generator, tasks = load_backbone("tiny-seq2seq"), torch.Generator().manual_seed(0), suite.tasks.values()
    train, test = (
        encoded(backbone, suite, [x for task in tasks for x in task.examples(split)], TextOptions())
        for split in ("train", "test")
    )
    model = build(backbone, InventorySpec(modules=SkillOptions(sites=("all",))), list(tasks), generator)
    adam = optimizer(model, OptimizerOptions(lr=1e-2))
    for _ in range(steps):
        batch = train.objective.collate(backbone, random.sample(train.rows, 16), generator)
        with mixing(model.inventory):
            model(batch, generator).backward()
        adam.step()
        adam.zero_grad()
    return score(suite.tasks, test.examples, predictions(model.eval(), test, EvaluationOptions(), 8))


def write_example(folder: Path) -> None:
    """Two tasks on lists of three words."""
    words = ("red", "blue", "green", "black", "white")
    lists = list(itertools.permutations(words, 3))
    random.Random(0).shuffle(lists)
    for task, index in {"first": 0, "last": -1}.items():
        lines = [json.dumps({"input": " ".join(triple), "output": triple[index]}) for triple in lists]
        (folder / f"{task}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Learn the tasks of the folder on the command line, or those of the example."""
    random.seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        if len(sys.argv) == 1:
            write_example(folder)
        for task, metrics in learn(folder).items():
            print(task, *(f"{name} {value:.2f}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
