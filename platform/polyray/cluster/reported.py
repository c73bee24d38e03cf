"""Lines of metrics that the workers of a training write, told to the hooks of the process that waits for them."""

from polyray.files.disk import disk
from polyray.runs.checkpoint import latest_checkpoint, step_of
from polyray.runs.metrics import METRICS, read_metrics
from polyray.runs.run import CHECKPOINTS, Run


class ReportedLines:
    """Metrics in the folder of a run that its hooks have not been told yet.

    Args:
        run: before its workers begin; they go on from its newest checkpoint, and report again what came after it.
    """

    def __init__(self, run: Run) -> None:
        checkpoint = latest_checkpoint(run.out / CHECKPOINTS)
        self._run, self._step = run, step_of(checkpoint) if checkpoint is not None else -1
        self._size = self._size_now()

    def tell(self) -> None:
        """Tell what is new, in order, each step once."""
        size = self._size_now()
        if size == self._size:
            return
        self._size = size
        for line in read_metrics(self._run.out):
            if line["step"] > self._step:
                self._step = line["step"]
                self._run.tell(line)

    def _size_now(self) -> int:
        file = self._run.out / METRICS
        return file.stat().st_size if disk().exists(file) else 0
