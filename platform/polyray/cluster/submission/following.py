"""The log of a job, as it grows."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import aiohttp

from polyray.cluster.submission.jobs import ClusterJob, read_job, read_log
from polyray.cluster.submission.server import JobServer, UnreachableError
from polyray.errors import RunError

HEARTBEAT = 30.0  # seconds after which a connection that says nothing is asked whether it lives
AGAIN = 1.0  # seconds until the next try
PATIENCE = 120.0  # seconds without a cluster after which nobody follows any longer


@dataclass
class Follower:
    """Shows what a job writes, each letter once, over as many connections as it takes.

    Attributes:
        show: takes the next piece of the log.
        n_shown: letters of the log shown so far.
        heard: time of the last piece, by time.monotonic.
    """

    server: JobServer
    job_id: str
    show: Callable[[str], object]
    n_shown: int = 0
    heard: float = 0.0

    def follow(self) -> ClusterJob:
        """Show the log until the job is over: the job.

        Raises:
            InputError: there is no such job.
            RunError: the cluster has not answered for PATIENCE seconds.
        """
        while not (job := self.stream()).is_over:
            time.sleep(AGAIN)
        self._show(read_log(self.server, self.job_id), 0)  # the last connection may have ended before the log
        return job

    def stream(self) -> ClusterJob:
        """Show the log until a connection ends, mostly with the job: the job as it is then.

        Raises:
            InputError, RunError: as above.
        """
        began = time.monotonic()
        while True:
            try:
                asyncio.run(self._stream())
                return read_job(self.server, self.job_id)
            except UnreachableError as error:
                if self._lost(began):
                    raise RunError(f"Nothing was heard of the job {self.job_id} for {PATIENCE:g} s: {error}") from None
                time.sleep(AGAIN)

    def _lost(self, began: float) -> bool:
        return time.monotonic() - max(began, self.heard) > PATIENCE

    async def _stream(self) -> None:
        """Show the log until the connection ends."""
        address = f"{self.server.address}/api/jobs/{quote(self.job_id, safe='')}/logs/tail"
        n_before = 0
        try:
            async with (
                aiohttp.ClientSession(headers=self.server.headers) as session,
                session.ws_connect(address, heartbeat=HEARTBEAT, max_msg_size=0) as socket,
            ):
                async for message in socket:
                    if message.type == aiohttp.WSMsgType.TEXT:
                        self.heard = time.monotonic()
                        self._show(message.data, n_before)
                        n_before += len(message.data)
        except aiohttp.WSServerHandshakeError as error:
            if error.status != HTTPStatus.NOT_FOUND:  # else there is no such job: who looks at it next says so
                raise UnreachableError(f"{self.server.address} gives no log (status {error.status}).") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"The connection to {self.server.address} ended: {error}.") from None

    def _show(self, text: str, n_before: int) -> None:
        """Show what is new of `text`, which stands in the log behind `n_before` letters."""
        new = text[max(0, self.n_shown - n_before) :]
        if new:
            self.show(new)
            self.n_shown = n_before + len(text)
