"""The jobs by name."""

from polyray.jobs import adapt, babyai, compare, evaluate, polytropon
from polyray.runs.job import Job

JOBS: dict[str, Job] = {
    "polytropon": Job(
        config=polytropon.Config, run=polytropon.run, about="train an inventory of skills and its routing on many tasks"
    ),
    "adapt": Job(config=adapt.Config, run=adapt.run, about="adapt trained skills to unseen tasks from few examples"),
    "evaluate": Job(config=evaluate.Config, run=evaluate.run, about="score trained skills on the tasks that they know"),
    "babyai": Job(
        config=babyai.Config, run=babyai.run, about="train agents with skills on several BabyAI levels at once"
    ),
    "compare": Job(config=compare.Config, run=compare.run, about="train several routers, adapt each, and compare them"),
}
