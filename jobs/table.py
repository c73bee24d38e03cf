"""The jobs by name."""

from polyray.jobs import adapt, babyai, compare, evaluate, polytropon
from polyray.runs.job import Job

JOBS: dict[str, Job] = {
    "polytropon": Job(
        about="train an inventory of skills and its routing on many tasks",
        Config=polytropon.Config,
        run=polytropon.run,
    ),
    "adapt": Job(about="adapt trained skills to unseen tasks from few examples", Config=adapt.Config, run=adapt.run),
    "evaluate": Job(about="score trained skills on the tasks that they know", Config=evaluate.Config, run=evaluate.run),
    "babyai": Job(
        about="train agents with skills on several BabyAI levels at once", Config=babyai.Config, run=babyai.run
    ),
    "compare": Job(about="train several routers, adapt each, and compare them", Config=compare.Config, run=compare.run),
}
