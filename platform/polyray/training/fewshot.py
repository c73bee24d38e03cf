"""One few-shot adaptation, as a Ray task does it."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyray.files import write_file
from polyray.jobs.configs import AdaptConfig
from polyray.modules.site import without_skills
from polyray.routing import FixedRouter
from polyray.skills.inventory import Provenance, load_inventory, save_mixed
from polyray.tasks import Suite, Task
from polyray.training.adaptation import FewShotData, adapt
from polyray.training.data import category_allocation, encoded, held, of_examples, suite_of
from polyray.training.evaluation import answers
from polyray.training.model import Modular


def result_file(piece: Mapping[str, Any]) -> Path:
    """Where the outcome of a piece is kept."""
    return Path(piece["out"]) / "adapted" / f"{piece['task']}-{piece['seed']}-{piece['method']}.json"


def adapt_one(piece: Mapping[str, Any]) -> dict[str, Any]:
    """One task, one split, one method; the outcome is written when it is whole, and returned."""
    config = AdaptConfig.model_validate(piece["config"])
    suite, model = _loaded(config.model_dump_json(include={"suite", "tasks", "skills"}))
    model.inventory.install(model.network)  # the piece before left its own copy there
    kept = {name: p.clone() for name, p in model.network.named_parameters()} if piece["method"] == "full" else {}
    task, seed = suite.tasks[piece["task"]], piece["seed"]
    lengths, decoding = config.text.lengths(), config.evaluation.decoding()
    with without_skills(model.inventory):
        train, dev, tests = (
            encoded(model.backbone, suite, examples, lengths)
            for examples in (
                task.examples("train", seed), task.examples("dev", seed),
                held(task, "test", seed, config.evaluation.max_examples),
            )
        )  # fmt: skip
    data = FewShotData(task=task, train=train.rows, dev=dev.rows, dev_examples=dev.examples)
    few, row = config.adapt.few_shot(), row_of(suite, model, task.name)
    adapted = adapt(model, piece["method"], data, few, decoding, row)
    predictions = answers(adapted.model, tests.rows, decoding, lengths.max_output)
    outcome = {
        "task": task.name, "seed": seed, "method": piece["method"], "metric": task.metric,
        "score": task.score(predictions, tests.examples), "dev": adapted.dev, "lr": adapted.rate, "step": adapted.step,
    }  # fmt: skip
    if kept:  # the backbone itself was trained: the next piece starts from the one that was loaded
        model.network.load_state_dict(kept, strict=False)
    else:
        _keep_skill(piece, adapted.model, task, outcome)
    file = result_file(piece)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps(outcome | {"predictions": predictions}, ensure_ascii=False))
    return outcome


def _keep_skill(piece: Mapping[str, Any], model: Modular, task: Task, outcome: Mapping[str, Any]) -> None:
    """What the task's mix amounts to, as a skill of its own."""
    seed, method = piece["seed"], piece["method"]
    prints = {task.name: of_examples(task.examples("train", seed))}
    origin = Provenance.of(
        model.backbone, piece["config"]["suite"], [task.name], prints, piece["config"]["adapt"]["seed"]
    )
    save_mixed(Path(piece["out"]) / "skills", model, origin, f"{task.name}-{seed}-{method}", outcome)


@lru_cache(maxsize=1)  # a worker process does many pieces of one run
def _loaded(key: str) -> tuple[Suite, Modular]:
    config = AdaptConfig.model_validate_json(key)
    folder = load_inventory(Path(config.skills))
    model = folder.build()
    model.to("cuda" if torch.cuda.is_available() else "cpu")  # Ray shows a task the GPUs that it was given, no others
    return suite_of(config), model


def row_of(suite: Suite, model: Modular, task: str) -> Tensor:
    """[skills], an unseen task's row where the router is fixed: the skills of its category, or all that there are."""
    router = model.router
    if not isinstance(router, FixedRouter):
        return torch.ones(model.inventory.n_skills)
    row = torch.zeros(router.n_skills)
    own = category_allocation(suite)
    same = [router.tasks.rows([name])[0] for name in router.tasks.names if own.get(name) == own[task]]
    row[:] = router.table[same].amax(0) if same else 1
    return row
