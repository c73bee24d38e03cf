"""The ways of adapting trained skills to a new task, and their options."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from polyray.errors import InputError
from polyray.lookup import all_known
from polyray.modules.stack import Stack
from polyray.objectives import Objective
from polyray.routing import ROUTERS, Router
from polyray.training.optimizers import OptimizerOptions

Method = Literal["skills", "row", "average", "fresh", "full"]
METHODS: dict[str, str] = {
    "skills": "new row and skills are trained (Ponti et al. 2023, section 4.2)",
    "row": "only the new row is trained (MHR-z)",
    "average": "the skills are averaged, then that one module is trained (MHR-mu)",
    "fresh": "the same architecture with newly drawn skills (PolyRand)",
    "full": "the whole backbone is trained, without skills",
}
Rate = Annotated[float, Field(gt=0)]


class AdaptationOptions(OptimizerOptions):
    """Length and speed of one few-shot adaptation, and the choice of its result on the development set."""

    methods: tuple[Method, ...] = ("skills",)
    """Trained parameters: skills and a new row, the row only, the averaged skills, fresh skills, the full model."""
    tasks: Literal["test", "dev"] = "test"
    """Which tasks of the partition."""
    seeds: tuple[int, ...] = ()
    """Few-shot splits; empty: all of each task."""
    steps: int = Field(1000, ge=1)
    """Updates."""
    batch: int = Field(8, ge=1)
    """Examples of an update."""
    rates: tuple[Rate, ...] = ()
    """Learning rates of the skills to try; the development set chooses among them; empty: `lr`."""
    routing_rates: tuple[Rate, ...] = ()
    """Learning rates of the routing to try, each with each of the skills'; empty: `routing_lr`. A method tries only
    rates of what it trains."""
    choose: Literal["split", "task"] = "split"
    """Whose development score chooses among rates: that of each few-shot split, or the mean over the splits of a
    task."""
    looks: int = Field(10, ge=1)
    """Evaluations on the development set; the best state is kept."""
    seed: int = 0
    """Seed of everything that is drawn."""
    stack: int = Field(8, ge=1)
    """Trainings that one process does together, in shared batches; 1: one by one."""
    gpus: float = Field(0, ge=0)
    """GPUs of one process; a fraction shares one."""

    @property
    def look_every(self) -> int:
        """Updates between two looks at the development set; one more look comes at the end."""
        return max(1, self.steps // self.looks)

    @field_validator("methods")
    @classmethod
    def _methods_there_are(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        all_known(methods, METHODS, "method")
        return methods

    @field_validator("seeds", "rates", "routing_rates")
    @classmethod
    def _different(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(values)) < len(values):
            raise ValueError("expected different numbers, each is used once")
        return values


def check_methods(methods: Sequence[Method], router: str, dtype: str) -> None:
    """Refuse methods that an inventory with this kind of router, on weights of this format, cannot be adapted by.

    Raises:
        InputError: `row` is among them, and the router has no rows to train; or `full`, on weights of few bits.
    """
    if "full" in methods and dtype != "fp32":
        raise InputError(
            f"adapt.methods: full trains the backbone, and backbone_dtype={dtype} is for a frozen one: set it to fp32."
        )
    if "row" in methods and not ROUTERS[router].trains_rows:
        raise InputError(
            f"adapt.methods: row trains a row of the allocation, and that of routing.kind={router} is fixed."
        )


def candidates(options: AdaptationOptions, method: Method, router: type[Router]) -> tuple[AdaptationOptions, ...]:
    """The options of each training that the development set chooses among, with one rate of each kind.

    Rates of what `method` does not train are not tried.
    """
    routed = method not in ("average", "full") and router.trains_rows
    routing_rates = options.routing_rates if routed and router.speed == "routing" else ()
    rates = options.rates if method != "row" or router.speed == "skills" else ()
    return tuple(
        options.model_copy(update={"lr": lr, "routing_lr": routing_lr, "rates": (), "routing_rates": ()})
        for lr in rates or (options.lr,)
        for routing_lr in routing_rates or (options.routing_lr,)
    )


def stacks(method: Method, router: type[Router], module: type[Stack], objective: Objective) -> bool:
    """Whether adaptations of one inventory by `method` can share batches."""
    one_skill = method == "average" or router.starts_afresh
    return method != "full" and module.joins and objective.stacks and (one_skill or router.has_rows)
