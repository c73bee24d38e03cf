"""Multi-task training of an inventory of skills and its routing (Ponti et al. 2023)."""

import json
from pathlib import Path

from polyray.cluster.session import ray_session
from polyray.cluster.train import Group, TrainingRun
from polyray.errors import InputError
from polyray.jobs.configs import PolytroponConfig
from polyray.lookup import lookup
from polyray.modules.kinds import MODULES
from polyray.progress import follow
from polyray.reports.sections.language import write_training
from polyray.routing import ROUTERS
from polyray.runs.job import Context, Result
from polyray.runs.journal import RESULT, SKILLS
from polyray.tasks import Suite, read_all
from polyray.training.data import part, suite_of

WORK = "polyray.training.multitask:work"


def run(config: PolytroponConfig, context: Context) -> Result:
    """Train on Ray, then score; see `PolytroponConfig`."""
    check(config)
    with ray_session(context.address, context.out / "logs" / "ray"):
        trained = start(config, context.out)
        follow({config.routing.kind: (context.out, config.training.steps)}, lambda: trained.running, context.console)
        trained.result()
    return finish(config, context)


def check(config: PolytroponConfig) -> Suite:
    """Read all data and look up all names, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config or the data is wrong.
    """
    lookup(ROUTERS, config.routing.kind, "router")
    lookup(MODULES, config.modules.kind, "module kind")
    suite = suite_of(config)
    read_all(suite, part(suite, "train"))
    if config.training.batch % config.workers.n:
        raise InputError(f"training.batch={config.training.batch} does not divide among workers.n={config.workers.n}.")
    if config.training.strategy == "fsdp" and config.training.backbone_lr:
        raise InputError("training.strategy=fsdp shards a frozen backbone: set training.backbone_lr=0.")
    return suite


def start(config: PolytroponConfig, out: Path) -> TrainingRun:
    """Begin (or go on with) the training in the folder `out`, in the background."""
    workers = config.workers
    group = Group(workers=workers.n, cpus=workers.cpus, gpus=workers.gpus, restarts=workers.restarts)
    return TrainingRun(WORK, {"config": config.model_dump(mode="json"), "out": str(out)}, group, out / "logs" / "train")


def finish(config: PolytroponConfig, context: Context) -> Result:
    """What a training that has ended found out, with its report."""
    told = json.loads((context.out / RESULT).read_text(encoding="utf-8"))
    write_training(context.out, told)
    return Result(metrics=told, skills=(SKILLS,))
