"""A sweep as one watches it: Ray's dashboard and the sweep's own page in a browser, figures as Prometheus gets them.

With POLYRAY_SCREENSHOTS=FOLDER the pictures of docs/clusters.md are taken anew.
"""

import os
import re
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from browser_cases import browser, look
from job_cases import TINY
from ray_cases import Run, descendants, finish, gone, slowness

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
LENGTH = (*TINY, "training.steps=40", "training.keep=last", "evaluation.every=10", "evaluation.max_examples=1")
TRIAL = "polyray_step", "polyray_loss", "polyray_score", "polyray_tokens_per_second", "polyray_allocation_discreteness"
SWEEP = "polyray_sweep_trials", "polyray_sweep_planned", "polyray_sweep_steps"

T = TypeVar("T")


def eventually(look_up: Callable[[], T | None], seconds: float = 120) -> T:
    """The first answer that is not None."""
    end = time.monotonic() + seconds * slowness()
    while time.monotonic() < end:
        answer = look_up()
        if answer is not None:
            return answer
        time.sleep(0.5)
    raise TimeoutError(f"{look_up} gave no answer")


def fetch(address: str, token: str) -> str:
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def series(targets: list[str], name: str) -> list[str]:
    """Lines of Prometheus's endpoints about a figure."""
    lines = "\n".join(fetch(f"http://{target}/metrics", "") for target in targets).splitlines()
    return [line for line in lines if line.startswith(f"ray_{name}{{")]


def test_a_sweep_is_seen_in_rays_dashboard_on_its_own_page_and_by_prometheus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pictures, out = Path(os.environ.get("POLYRAY_SCREENSHOTS", tmp_path)), tmp_path / "speeds"
    with browser() as port:
        process = Run("sweep", "polytropon", "dual_speed", "--trials", "400", "--out", "speeds", "--dashboard", *LENGTH)
        try:
            _watch(process, out, port, pictures)
        finally:
            children = descendants(process)
            (out / "stop").touch()
            finish(process)
        assert gone(children)
    assert all(file.stat().st_size < 200_000 for file in pictures.glob("*.png"))


def _watch(process: Run, out: Path, port: int, pictures: Path) -> None:
    """Look at a sweep from all sides while it runs."""
    address = eventually(lambda: re.search(r"Ray's dashboard: (http://127\.0\.0\.1:\d+)", process.output.read_text()))[
        1
    ]
    token = Path("~/.ray/auth_token").expanduser().read_text().strip()
    page = out / "report.html"
    eventually(lambda: (page.exists() and "Score against budget" in page.read_text()) or None)  # a trial has ended
    cookies = {"ray-authentication-token": token}
    jobs = look(port, f"{address}/#/jobs", "RUNNING", cookies=cookies, picture=pictures / "dashboard-jobs.png")
    assert "01000000" in jobs
    look(port, f"{address}/#/actors", "sweep speeds", cookies=cookies, picture=pictures / "dashboard-actors.png")
    look(port, page.as_uri(), "The sweep is running", picture=pictures / "sweep-report.png")
    targets = re.findall(r'"([\d.]+:\d+)"', fetch(f"{address}/api/prometheus/sd", token))
    for name in (*TRIAL, *SWEEP):
        eventually(lambda: series(targets, name) or None)  # noqa: B023  # called at once
    (planned,) = series(targets, "polyray_sweep_planned")
    assert 'polyray_job="polytropon",sweep="speeds"' in planned and planned.endswith(" 400.0")
    trials = re.findall(r'sweep="speeds",trial="(\d+)"', "".join(series(targets, "polyray_step")))
    assert trials and all((out / "trials" / number).is_dir() for number in trials)
