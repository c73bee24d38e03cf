"""Controllers of Ray Train whose driver is gone, kept from taking room in the cluster that nobody would give back.

When a job ends, Ray removes the placement group that its training waits for and kills the controller, in this order. A
controller that is still there takes the removal for a start that failed, and asks for another group: the cluster keeps
that one for ever, since its job was over before it was made.
"""

from typing import Any

import ray
from ray._private.state import state  # jobs that have ended are nowhere else to be found without Ray's dashboard
from ray.train.v2._internal.execution.callback import WorkerGroupCallback  # no public one comes before a group


class OrphanCheck(WorkerGroupCallback):
    """Refuses to start a group of workers for a job that has ended. It imports no torch: controllers need none."""

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        """Look whether the job still runs.

        Raises:
            RuntimeError: it has ended, so nobody waits for the workers; Ray Train tries no further start.
        """
        job = ray.get_runtime_context().get_job_id()
        if any(entry["JobID"] == job and entry["IsDead"] for entry in state.job_table()):
            raise RuntimeError(f"The job {job} of this training has ended.")
