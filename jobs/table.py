"""The jobs by name."""

from polyray.jobs import adapt, babyai, compare, evaluate, polytropon
from polyray.runs.job import Job

JOBS: dict[str, Job] = {
    "polytropon": polytropon.JOB,
    "adapt": adapt.JOB,
    "evaluate": evaluate.JOB,
    "babyai": babyai.JOB,
    "compare": compare.JOB,
}
