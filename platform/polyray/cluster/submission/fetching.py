"""The folder of a run or sweep brought home from a cluster, whole or not at all."""

import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from polyray.cluster.submission import jobs
from polyray.cluster.submission.cluster import read_nodes
from polyray.cluster.submission.following import Follower
from polyray.cluster.submission.jobs import ClusterJob
from polyray.cluster.submission.receiving import Receiver
from polyray.cluster.submission.sending import run_files
from polyray.cluster.submission.server import JobServer
from polyray.cluster.submission.submission import PYTHON, Environment, new_id, quoted_folder
from polyray.errors import InputError, RunError
from polyray.files import make_folders, writing
from polyray.files.disk import Point, disk
from polyray.formats.text import MEBI
from polyray.runs.finished import run_damage
from polyray.runs.folder import CONFIG
from polyray.runs.result import RESULT, read_result
from polyray.runs.store.fetching import check_target, fetch
from polyray.runs.store.remote import is_url

NODE = "ray.io/node-id"  # Ray's label of a node


def fetch_folder(source: str, target: Path, announce: Callable[[str], object]) -> None:
    """Copy the run or sweep in `source`, a URL or a folder that this machine sees.

    Args:
        announce: shows a line to the user.

    Raises:
        InputError: there is none, or `target` is there already.
        RunError: it is damaged.
    """
    if is_url(source):
        fetch(source, target, announce)
        return
    with _arriving(target) as folder:
        for name, file in run_files(Path(source)).items():
            with file.open("rb") as stream:
                _write(folder / name, stream)


@dataclass(frozen=True, kw_only=True)
class NodeFolder:
    """The folder of a job's run on the own disk of the node where its driver ran.

    limit: bytes of it that may go through a job's log.
    """

    server: JobServer
    job: ClusterJob
    limit: int

    def fetch(self, target: Path) -> None:
        """Bring the folder home through the log of a small job on that node.

        Raises:
            InputError: the node is gone, the folder is not there or too large, or `target` is there already.
            RunError: it does not arrive, or is damaged.
        """
        out = self.job.metadata[jobs.OUT]
        if self.job.node not in [node.id for node in read_nodes(self.server)]:
            raise InputError(
                f"The folder {out} of the job {self.job.id} was on the own disk of a node that is gone. Submit with "
                "--out of a URL or of a folder that outlives the nodes; then the run goes on, too."
            )
        with _arriving(target) as folder, tempfile.TemporaryFile() as stream:
            receiver = Receiver(stream)
            self._receive(receiver)
            with receiver.archive() as archive:
                for entry in archive.infolist():
                    with archive.open(entry) as content:
                        _write(folder / entry.filename, content)

    def _receive(self, receiver: Receiver) -> None:
        """Let a job write the folder to its log, and read it."""
        job_id = new_id("fetch-", self.job.id)
        self._submit(job_id)
        follower = Follower(self.server, job_id, receiver.take)
        job = follower.stream()
        while not receiver.is_complete:
            was_over = job.is_over
            job = follower.stream()
            if was_over and not receiver.is_complete:
                raise self._failure(job)
        if job.is_over:
            jobs.delete_job(self.server, job_id)

    def _submit(self, job_id: str) -> None:
        metadata = self.job.metadata
        python, image = metadata.get(jobs.PYTHON, PYTHON), jobs.IMAGE in metadata
        command = shlex.join([python, "-m", "polyray.cluster.submission.sending"])
        request = {
            "entrypoint": f"exec {command} {quoted_folder(metadata[jobs.OUT])} {self.limit}", "submission_id": job_id,
            "runtime_env": Environment(image=image, python=python).runtime_env(self.server, None),
            "metadata": {jobs.VERSION: metadata[jobs.VERSION], jobs.KIND: "fetch"},
            "entrypoint_label_selector": {NODE: self.job.node},
        }  # fmt: skip
        jobs.submit_job(self.server, request)

    def _failure(self, sender: ClusterJob) -> InputError | RunError:
        lines = [line for line in sender.message.splitlines() if line.startswith("polyray: ")]
        if sender.exit_code == InputError.exit_code and lines:
            return InputError(lines[-1].removeprefix("polyray: "))
        return RunError(
            f"The job {sender.id}, which was to send the folder, ended without it: polyray logs {sender.id}"
        )


@contextmanager
def _arriving(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` if what is written into it is a whole run or sweep.

    Raises:
        InputError: `target` is there already, or what came is no run.
        RunError: what came is damaged.
    """
    check_target(target)
    with writing(target) as folder:
        yield folder
        if not (folder / CONFIG).is_file():
            raise InputError(
                "There is no run or sweep in that folder (no config.yaml): the job ended before it began one."
            )
        for result in sorted(folder.rglob(RESULT)):
            stored = read_result(result.parent)
            damage = run_damage(result.parent) if stored is not None and stored["status"] == "done" else None
            if damage is not None:
                name = result.parent.relative_to(folder)
                raise RunError(f"The run in {name} is damaged: {damage}. Nothing was brought home; try again.")


def _write(file: Path, stream: IO[bytes]) -> None:
    make_folders(file.parent)

    def copy(path: Path) -> None:
        with path.open("wb") as target:
            shutil.copyfileobj(stream, target, MEBI)

    disk().fill(Point.CONTENT_WRITTEN, file, copy)
