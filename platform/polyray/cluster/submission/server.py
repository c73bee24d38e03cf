"""Requests to a cluster's job server, whose failures become one line each."""

import http.client
import json
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit

from polyray.cluster.submission.address import PORT, job_server_address
from polyray.cluster.submission.token import MODE, has_token, token_headers
from polyray.errors import InputError, RunError

PATIENCE = 15.0  # seconds for an answer
UPLOAD_PATIENCE = 600.0  # seconds for the answer to an upload


class UnreachableError(InputError):
    """Failure to reach a job server: the address is wrong, or the cluster is down."""


@dataclass(frozen=True)
class Answer:
    """An answer of the server: the status of HTTP, and the text."""

    status: int
    text: str

    @property
    def reason(self) -> str:
        """The line of an error that says most: the last one of a traceback, the first one of anything else."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()] or ["no reason"]
        return f"{lines[-1] if lines[0].startswith('Traceback') else lines[0]:.300}"


class JobServer:
    """The job server of a cluster that answered as Ray's.

    Attributes:
        address: see `job_server_address`.
        headers: of every request; they show the token.
        version: of Ray on the cluster.
    """

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self.address, self.headers, self.version = address, headers, ""

    @classmethod
    def find(cls, address: str | None) -> Self:
        """The server at `address`, see `job_server_address`.

        Raises:
            InputError: the address is wrong, nobody answers there, it is no Ray, or it refuses the token.
        """
        server = cls(job_server_address(address), token_headers())
        answer = server.request("GET", "/api/version")
        try:
            server.version = str(json.loads(answer.text)["ray_version"])
        except (ValueError, KeyError, TypeError):
            if answer.status >= 500:
                raise server.failure(answer, "looking for its version") from None
            raise InputError(
                f"{server.address} is a web server, but not that of a Ray cluster (GET /api/version gives status "
                f"{answer.status}). Give the address of the dashboard: --address http://HEAD:{PORT}."
            ) from None
        return server

    def request(self, method: str, path: str, content: bytes | None = None, patience: float | None = None) -> Answer:
        """The answer to a request, whatever its status but for a refused token.

        Args:
            patience: seconds for the answer; None: PATIENCE.

        Raises:
            UnreachableError: there is no answer.
            InputError: the cluster refuses the token.
        """
        patience = PATIENCE if patience is None else patience
        parts = urlsplit(self.address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=patience)
        headers = {**self.headers, **({"Content-Type": "application/json"} if method == "POST" else {})}
        try:
            with suppress(BrokenPipeError):  # a server that refuses a large body answers before it has read all of it
                connection.request(method, parts.path + path, body=content, headers=headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.read().decode("utf-8", errors="replace"))
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(self._explained(error, parts.hostname or "", patience)) from None
        finally:
            connection.close()
        if answer.status in (401, 403):
            raise InputError(f"The cluster at {self.address} {self._refusal(answer)}")
        return answer

    def read(self, path: str, doing: str) -> Any:
        """The JSON document at `path`; `doing` says what for, in an error.

        Raises:
            UnreachableError, InputError: see `request`.
            RunError: the server answered with an error.
        """
        answer = self.request("GET", path)
        if answer.status != HTTPStatus.OK:
            raise self.failure(answer, doing)
        try:
            return json.loads(answer.text)
        except ValueError:
            raise RunError(f"The cluster at {self.address} gave no JSON ({doing}): {answer.reason}") from None

    def failure(self, answer: Answer, doing: str) -> RunError:
        """The error for an answer that reports one."""
        if "No available agent" in answer.text or "head node agent" in answer.text:
            return RunError(
                f"The cluster at {self.address} takes no jobs, because no agent runs on its head node. Two clusters on "
                "one machine need ports of their own (ray start --dashboard-agent-listen-port); else try again soon."
            )
        return RunError(f"The cluster at {self.address} failed ({doing}, status {answer.status}): {answer.reason}")

    def _refusal(self, answer: Answer) -> str:
        if self.headers:
            return f"refuses your token ({answer.reason}). Get the cluster's own: ray get-auth-token, on its head."
        advice = "and you have one" if has_token() else "which is on its head: ray get-auth-token"
        return f"wants a token, {advice}. Set {MODE}=token in the environment, so that it is shown."

    def _explained(self, error: OSError | http.client.HTTPException, host: str, patience: float) -> str:
        """One line on why there is no answer, and what to do."""
        advice = f"jobs are sent to the dashboard, which `ray start` names (http://HEAD:{PORT})"
        if isinstance(error, socket.gaierror):
            return f"There is no machine {host!r} ({error.strerror}). Check --address; {advice}."
        if isinstance(error, ssl.SSLError):
            problem = f"{self.address} speaks no TLS that can be trusted ({error.reason or error})"
            return f"{problem}. Use http:// if the dashboard has no TLS; SSL_CERT_FILE names certificates to trust."
        if isinstance(error, TimeoutError):
            return (
                f"{self.address} does not answer within {patience:g} s: the cluster is down, or a firewall is between."
            )
        if isinstance(error, http.client.HTTPException | ConnectionResetError):
            return f"{self.address} speaks no HTTP: it may be Ray's control store or Ray Client; {advice}."
        problem = f"Nobody answers at {self.address} ({error.strerror or error})"
        return f"{problem}. Is the cluster up? Check --address; {advice}."
