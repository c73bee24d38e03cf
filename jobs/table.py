"""The jobs by name. The module of a job is imported when it is asked for: agents bring RLlib and numba with them."""

from collections.abc import Iterator, MutableMapping
from importlib import import_module

from polyray.runs.job import Job


class JobTable(MutableMapping[str, Job]):
    """The `JOB` of each module of this package that is named, by the module's name, and jobs that were added."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._jobs: dict[str, Job | None] = dict.fromkeys(modules)

    def __getitem__(self, name: str) -> Job:
        job = self._jobs[name]
        if job is None:
            job = self._jobs[name] = import_module(f"polyray.jobs.{name}").JOB
        return job

    def __setitem__(self, name: str, job: Job) -> None:
        self._jobs[name] = job

    def __delitem__(self, name: str) -> None:
        del self._jobs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)


NAMES = (
    "polytropon", "adapt", "evaluate", "babyai", "compare", "ltsft", "transfer", "fisher", "merge", "combine",
    "respond", "quark", "score_responses", "dialogue", "likelihood", "faithful",
)  # fmt: skip

JOBS: MutableMapping[str, Job] = JobTable(NAMES)
