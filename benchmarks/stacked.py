"""Time of few-shot adaptations that are trained together, over the same adaptations one by one.

Planted tasks on tiny-seq2seq, LoRA of rank 4 on its 8 feed-forward layers, 5 skills, 8 examples a step, development
scoring included: one process, one thread, both ways in turn, so that ratios hold whatever else the machine does.
Figures are processor time of an adaptation.
"""

import argparse
import itertools
import os
import sys

import torch

from benchmarks.table import show
from benchmarks.timing import Step, measure
from polyray.backbones import load_backbone
from polyray.memory import KEEP_FREED
from polyray.modules.lora import LoraOptions
from polyray.modules.options import SkillOptions
from polyray.modules.site import without_skills
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.skills.spec import InventorySpec
from polyray.tasks import Suite, TasksOptions, load_suite
from polyray.training.adaptation import FewShotData, adapt
from polyray.training.blocks.adaptation import Adaptation, adapt_together
from polyray.training.data import encoded
from polyray.training.methods import METHODS, AdaptationOptions, Method
from polyray.training.model import Modular, build

DECODING = EvaluationOptions()
SPEC = InventorySpec(
    modules=SkillOptions(options=LoraOptions(rank=4), sites=("ffn",)),
    routing=RoutingOptions(options=LearnedOptions(n_skills=5)),
)


def inventory(suite: Suite) -> Modular:
    """Fresh skills for the training tasks: how long a step takes does not depend on what they have learned."""
    tasks = [suite.tasks[name] for name in suite.partition["train"]]
    model = build(load_backbone("tiny-seq2seq"), SPEC, tasks, torch.Generator().manual_seed(0))
    model.backbone.freeze()
    return model.eval()


def adaptations(model: Modular, suite: Suite, options: AdaptationOptions, k: int) -> list[Adaptation]:
    """The first k few-shot splits of the test tasks, over again with other seeds where there are fewer."""
    splits = [(task, seed) for task in map(suite.tasks.get, suite.partition["test"]) if task for seed in task.seeds]
    trainings = []
    for number, (task, seed) in zip(range(k), itertools.cycle(splits), strict=False):
        with without_skills(model.inventory):
            train, dev = (
                encoded(model.backbone, suite, task.examples(split, seed), TextOptions()) for split in ("train", "dev")
            )
        each = options.model_copy(update={"seed": number})
        trainings.append(Adaptation(data=FewShotData(task=task, train=train, dev=dev), options=each))
    return trainings


def variants(model: Modular, method: Method, trainings: list[Adaptation]) -> dict[str, Step]:
    """One adaptation alone, a different one each time, and all together."""
    turn = itertools.cycle(trainings)

    def alone() -> None:
        each = next(turn)
        adapt(model, method, each.data, each.options, DECODING)

    def together() -> None:
        adapt_together(model, method, trainings, DECODING)
        model.inventory.install(model.network)

    return {"alone": alone, "together": together}


def main() -> None:
    """Print a row for each method and number of adaptations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--k", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["skills", "row", "average", "fresh"])
    parser.add_argument("--steps", type=int, default=30, help="updates of an adaptation (default 30)")
    parser.add_argument("--looks", type=int, default=3, help="looks at its development set (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, of which the median counts")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not KEEP_FREED.items() <= os.environ.items():  # as Ray's workers run
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.stacked", *sys.argv[1:]], os.environ | KEEP_FREED)
    torch.set_num_threads(1)
    suite = load_suite(TasksOptions())
    model = inventory(suite)
    options = AdaptationOptions(steps=arguments.steps, looks=arguments.looks, warmup=0.1)
    rows = []
    for method in arguments.methods:
        for k in arguments.k:
            times = measure(variants(model, method, adaptations(model, suite, options, k)), arguments.rounds)
            alone, each = times["alone"], times["together"] / k
            row = {
                "method": method,
                "k": k,
                "alone, ms": alone,
                "together, ms each": each,
                "times as fast": alone / each,
            }
            rows.append(row)
    show("Few-shot adaptation, one by one and together", rows, arguments.json)


if __name__ == "__main__":
    main()
