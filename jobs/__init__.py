"""What a user can run."""

from . import adapt, compare, evaluate, polytropon
from .job import Context, Job, Result

JOBS: dict[str, Job] = {
    "polytropon": Job(
        config=polytropon.Config, run=polytropon.run, about="train an inventory of skills and its routing on many tasks"
    ),
    "adapt": Job(config=adapt.Config, run=adapt.run, about="adapt trained skills to unseen tasks from few examples"),
    "evaluate": Job(config=evaluate.Config, run=evaluate.run, about="score trained skills on the tasks that they know"),
    "compare": Job(config=compare.Config, run=compare.run, about="train several routers, adapt each, and compare them"),
}

__all__ = ["JOBS", "Context", "Job", "Result"]
