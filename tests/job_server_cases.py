"""A web server that answers as the job server of a Ray cluster does, for tests without Ray."""

import base64
import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

import polyray
from polyray.cluster.submission import following, waiting
from polyray.cluster.submission.sending import DATA, HEADER

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of the handshake, RFC 6455


class FakeCluster:
    """Answers of the server, and the requests that it got.

    Attributes:
        answers: status and text for (method, path), before everything else.
        token: that every request has to show; empty: none.
        jobs: by their ids, as Ray's documents.
        logs: of the jobs, by their ids. cuts: letters after which the next connections to a log end.
        on_submit: called with the document of a submission.
        packages: that were uploaded, by name.
        requests: (method, path) of all requests; submitted: the documents of the last submissions.
        states: that the next looks at a job see, one after the other.
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, str]] = {}
        self.token = ""
        self.ray, self.python = "2.60.0", "3.11.9"
        self.jobs: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, str] = {}
        self.cuts: list[int] = []
        self.on_submit: Callable[[dict[str, Any]], object] = lambda document: None
        self.packages: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.submitted: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.nodes: list[dict[str, Any]] = [node("head", CPU=2.0)]
        self.address = ""

    def add(self, job_id: str, status: str = "SUCCEEDED", **fields: Any) -> None:
        """Let there be a job of Polyray's."""
        self.jobs[job_id] = {
            "type": "SUBMISSION", "submission_id": job_id, "status": status, "message": "",
            "start_time": 1000 * len(self.jobs), "end_time": None, "driver_node_id": "head", "driver_exit_code": None,
            "metadata": {"polyray": polyray.__version__, "kind": "run", "job": "polytropon", "out": "~/runs/x"},
        } | fields  # fmt: skip

    def answer(self, method: str, path: str, content: bytes) -> tuple[int, str]:
        """Status and text for a request."""
        if (method, path) in self.answers:
            return self.answers[method, path]
        if path == "/api/version":
            return 200, json.dumps({"version": "4", "ray_version": self.ray})
        if path == "/api/v0/cluster_metadata":
            return 200, json.dumps({"data": {"pythonVersion": self.python, "rayVersion": self.ray}})
        if path.startswith("/api/v0/nodes"):
            return 200, json.dumps({"data": {"result": {"result": self.nodes}}})
        if path.startswith("/api/packages/gcs/"):
            return self._package(method, path.rpartition("/")[2], content)
        return self._job(method, path.removeprefix("/api/jobs/"), content)

    def _package(self, method: str, name: str, content: bytes) -> tuple[int, str]:
        if method == "PUT":
            self.packages[name] = content
        return (200, "") if name in self.packages else (404, "does not exist")

    def _job(self, method: str, path: str, content: bytes) -> tuple[int, str]:
        job_id, _, verb = path.partition("/")
        if not job_id and method == "POST":
            self.submitted.append(json.loads(content))
            self.add(self.submitted[-1]["submission_id"], "PENDING", metadata=self.submitted[-1]["metadata"])
            self.on_submit(self.submitted[-1])
            return 200, "{}"
        if not job_id:
            return 200, json.dumps(list(self.jobs.values()))
        if job_id not in self.jobs:
            return 404, f"Job {job_id} does not exist"
        if verb == "logs":
            return 200, json.dumps({"logs": self.logs.get(job_id, "")})
        if method == "DELETE":
            del self.jobs[job_id]
            return 200, json.dumps({"deleted": True})
        if not verb and self.states:
            self.jobs[job_id] |= self.states.pop(0)
        return 200, json.dumps(self.jobs[job_id])


def node(name: str, **resources: float) -> dict[str, Any]:
    """A node as Ray's state API describes it."""
    return {"node_id": name, "node_ip": "10.0.0.1", "state": "ALIVE", "resources_total": resources}


@pytest.fixture
def fake_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A running server, which the environment names; nobody waits long for it."""
    cluster = FakeCluster()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            cluster.requests.append((self.command, self.path))
            if cluster.token and self.headers.get("Authorization") != f"Bearer {cluster.token}":
                missing = "Authorization" not in self.headers
                self._give(
                    401 if missing else 403, "Unauthorized: Missing authentication token" if missing else "Forbidden"
                )
            elif self.path.endswith("/logs/tail"):
                self._stream(self.path.split("/")[3])
            else:
                self._give(*cluster.answer(self.command, self.path, content))

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815  # the names that http.server calls

        def _give(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def _stream(self, job_id: str) -> None:
            key = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + MAGIC).encode()).digest()).decode()
            self.send_response(101)
            for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", key)):
                self.send_header(name, value)
            self.end_headers()
            text = cluster.logs.get(job_id, "")
            for start in range(0, len(text[: cluster.cuts.pop(0)] if cluster.cuts else text), 50_000):
                piece = text[start : start + 50_000].encode()
                self.wfile.write(b"\x81\x7f" + struct.pack(">Q", len(piece)) + piece)
            self.wfile.write(b"\x88\x02\x03\xe8")  # a normal end
            self.close_connection = True

        def log_message(self, *words: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    cluster.address = f"http://127.0.0.1:{server.server_address[1]}"
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", cluster.address)
    monkeypatch.setattr(waiting, "LOOK", 0.0)
    monkeypatch.setattr(following, "AGAIN", 0.0)
    yield cluster
    server.shutdown()
    thread.join()
    server.server_close()


def sent(archive: bytes) -> str:
    """The log of a job that sends an archive, with lines of others between."""
    lines = [DATA + base64.b64encode(archive[start : start + 999]).decode() for start in range(0, len(archive), 999)]
    return "\n".join(["Running", f"{HEADER} {len(archive)} {hashlib.sha256(archive).hexdigest()}", *lines, "bye", ""])
