"""A cluster's job server is found, or one line says why not and what to do."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from gathering import for_cases
from job_server_cases import FakeCluster, fake_cluster, node

from polyray.cluster.submission import server as servers
from polyray.cluster.submission.address import job_server_address
from polyray.cluster.submission.cluster import (
    OLDEST_PYTHON,
    OLDEST_RAY,
    TOO_NEW_RAY,
    check_versions,
    missing_resources,
    read_nodes,
)
from polyray.cluster.submission.jobs import submit_job
from polyray.cluster.submission.server import JobServer
from polyray.cluster.submission.token import token_headers
from polyray.errors import InputError, PolyrayError

__all__ = ["fake_cluster"]  # a fixture


@for_cases(
    [
        {"address": None, "environment": {}, "meant": "http://127.0.0.1:8265"},
        {"address": None, "environment": {"RAY_API_SERVER_ADDRESS": "http://a:1"}, "meant": "http://a:1"},
        {"address": None, "environment": {"RAY_ADDRESS": "https://b"}, "meant": "https://b"},
        {"address": None, "environment": {"RAY_ADDRESS": "b:6379"}, "meant": "http://127.0.0.1:8265"},
        {"address": "c", "environment": {"RAY_API_SERVER_ADDRESS": "http://a:1"}, "meant": "http://c:8265"},
        {"address": "127.0.0.1:8266", "environment": {}, "meant": "http://127.0.0.1:8266"},
        {"address": "https://c/ray/", "environment": {}, "meant": "https://c/ray"},
    ]
)
def test_an_address_is_completed_and_goes_before_the_environment(
    address: str | None, environment: dict[str, str], meant: str
) -> None:
    assert job_server_address(address, environment) == meant


@for_cases(
    [
        {"address": "ray://head:10001", "hint": "http://head:8265 (ray:// is the address of Ray Client)"},
        {"address": "auto", "hint": "http://HEAD:8265"},
        {"address": "anyscale://x", "hint": "http://x:8265"},
        {"address": "http://", "hint": "http://HEAD:8265"},
        {"address": "head:port", "hint": "http://HEAD:8265"},
    ]
)
def test_what_is_no_address_of_a_dashboard_is_refused_with_the_right_form(address: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        job_server_address(address, {})
    assert address in str(caught.value) and hint in str(caught.value)


def test_the_token_is_read_from_where_ray_reads_it_and_shown_in_token_mode_only(tmp_path: Path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("of-home\n")
    (tmp_path / "file").write_text(" of-file ")
    home, mode = {"HOME": str(tmp_path)}, {"RAY_AUTH_MODE": "Token"}
    named = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "file")}
    assert token_headers(home | named | {"RAY_AUTH_TOKEN": "direct"}) == {}
    assert token_headers(mode | home) == {"Authorization": "Bearer of-home"}
    assert token_headers(mode | home | named) == {"Authorization": "Bearer of-file"}
    assert token_headers(mode | home | named | {"RAY_AUTH_TOKEN": "direct"}) == {"Authorization": "Bearer direct"}
    (tmp_path / "file").write_text("\n")
    for environment in (named, {"HOME": str(tmp_path / "nowhere")}, {"RAY_AUTH_TOKEN": "two words"}):
        with pytest.raises(InputError, match="RAY_AUTH_TOKEN_PATH"):
            token_headers(mode | environment)


def line(action: Callable[[], object]) -> tuple[int, str]:
    """Exit code and message of an error, which is one line."""
    with pytest.raises(PolyrayError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return caught.value.exit_code, str(caught.value)


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """The address of somebody who answers every caller with these bytes; None: with nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        callers = []

        def serve() -> None:
            caller, _ = server.accept()
            callers.append(caller)
            if answer is not None:
                caller.recv(9999)
                caller.sendall(answer)
                caller.close()

        thread = Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()
        for caller in callers:
            caller.close()


def test_whoever_is_no_job_server_is_told_from_a_cluster_that_is_down(
    fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code, text = line(lambda: JobServer.find(f"127.0.0.1:{port}"))
    assert code == 2 and "Nobody answers" in text and "http://HEAD:8265" in text
    with listener(b"\x00\x00\x18\x04\x00\x00") as control_store:
        code, text = line(lambda: JobServer.find(control_store))
    assert code == 2 and "control store" in text and "http://HEAD:8265" in text
    with listener(b"HTTP/1.1 200 OK\r\n\r\n") as web:
        code, text = line(lambda: JobServer.find(f"https://{web}"))
    assert code == 2 and "Use http://" in text
    monkeypatch.setattr(servers, "PATIENCE", 0.05)
    with listener(None) as silent:
        code, text = line(lambda: JobServer.find(silent))
    assert code == 2 and "does not answer within 0.05 s" in text
    monkeypatch.setattr(servers, "PATIENCE", 15)
    for answer in ((404, "Not Found"), (200, "<html>"), (302, ""), (200, "[]")):
        fake_cluster.answers["GET", "/api/version"] = answer
        code, text = line(lambda: JobServer.find(None))
        assert code == 2 and "is a web server, but not that of a Ray cluster" in text
    fake_cluster.answers["GET", "/api/version"] = (
        500,
        'Traceback (most):\n  File "x"\nOSError: GCS\n',
    )
    code, text = line(lambda: JobServer.find(None))
    assert code == 1 and text.endswith("OSError: GCS")

    def unknown(*words: object, **more: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    code, text = line(lambda: JobServer.find("http://hed:8265"))
    assert code == 2 and "There is no machine 'hed'" in text


def test_a_token_that_is_lacking_or_refused_has_a_remedy(
    fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_cluster.token = "right"
    monkeypatch.setenv("HOME", str(tmp_path))
    code, text = line(lambda: JobServer.find(None))
    assert (
        code == 2
        and "wants a token, which is on its head: ray get-auth-token" in text
        and "RAY_AUTH_MODE=token" in text
    )
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    assert "wants a token, and you have one. Set RAY_AUTH_MODE=token" in line(lambda: JobServer.find(None))[1]
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    code, text = line(lambda: JobServer.find(None))
    assert code == 2 and "refuses your token (Forbidden)" in text and "wrong" not in text
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    assert JobServer.find(None).version == fake_cluster.ray


def test_versions_that_polyray_cannot_work_with_are_refused(fake_cluster: FakeCluster, root: Path) -> None:
    setup = (root / "setup.cfg").read_text()
    oldest, newest, python = (".".join(map(str, numbers)) for numbers in (OLDEST_RAY, TOO_NEW_RAY, OLDEST_PYTHON))
    assert (
        f"ray[default,rllib,train,tune]>={oldest},<{newest}\n" in setup and f"python_requires = >={python}\n" in setup
    )
    for ray, version in (("2.60.0", "3.11.0"), ("2.61.0rc1", "3.14.2"), ("2.100.0.dev0", "3.11.9")):
        fake_cluster.ray, fake_cluster.python = ray, version
        check_versions(JobServer.find(None))
    for ray, version, word in (
        ("2.9.3", "3.11.0", "Ray 2.9.3"),
        ("3.0.0", "3.11.0", "Ray 3.0"),
        ("2.60.1", "3.9.2", "3.9.2"),
    ):
        fake_cluster.ray, fake_cluster.python = ray, version
        code, text = line(lambda: check_versions(JobServer.find(None)))
        assert code == 2 and word in text and "Choose a cluster or image" in text


def test_failures_of_the_cluster_are_told_from_refused_requests(fake_cluster: FakeCluster) -> None:
    server = JobServer.find(None)
    for status, answer, exit_code, words in (
        (500, "No available agent to submit job, please try again later.", 1, "--dashboard-agent-listen-port"),
        (400, "Traceback (most):\n  x\nValueError: Job with submission_id a already exists.", 2, "a already exists."),
        (503, "", 1, "status 503"),
    ):
        fake_cluster.answers["POST", "/api/jobs/"] = (status, answer)
        code, text = line(lambda: submit_job(server, {"entrypoint": "x"}))
        assert code == exit_code and words in text


def test_resources_that_no_single_node_has_are_named(fake_cluster: FakeCluster) -> None:
    fake_cluster.nodes = [node("a", CPU=4.0), node("b", CPU=2.0, GPU=1.0), {**node("c", GPU=8.0), "state": "DEAD"}]
    nodes = read_nodes(JobServer.find(None))
    assert [each.id for each in nodes] == ["a", "b"]
    assert missing_resources(nodes, {"CPU": 2, "GPU": 1}) == ""
    text = missing_resources(nodes, {"CPU": 4, "GPU": 2})
    assert text == "it asks for 4 CPU and 2 GPU on one node, and the most that one of 2 nodes has is 4 CPU and 1 GPU"
