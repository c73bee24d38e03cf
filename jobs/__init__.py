"""What a user can run."""

from . import adapt, polytropon
from .job import Context, Job, Result

JOBS: dict[str, Job] = {
    "polytropon": Job(
        config=polytropon.Config, run=polytropon.run, about="train an inventory of skills and its routing on many tasks"
    ),
    "adapt": Job(config=adapt.Config, run=adapt.run, about="adapt trained skills to unseen tasks from few examples"),
}

__all__ = ["JOBS", "Context", "Job", "Result"]
