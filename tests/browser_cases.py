"""A headless browser that opens a page and answers questions about it, through the DevTools protocol."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 120  # until a busy machine has a browser or a page ready


@contextmanager
def browser() -> Iterator[int]:
    """Yield the port on which a browser of its own profile listens; skip the test where there is no browser."""
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"none of {', '.join(PROGRAMS)} is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        process = subprocess.Popen(
            [program, *options, f"--user-data-dir={profile}", "--window-size=1300,900", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield _port(Path(profile) / "DevToolsActivePort")
        finally:
            process.terminate()
            process.wait()


def _port(file: Path) -> int:
    """The port that the browser writes into its profile."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if file.exists() and (text := file.read_text()).count("\n"):
            return int(text.splitlines()[0])
        time.sleep(0.1)
    raise TimeoutError("the browser does not listen")


def ask(port: int, page: Path, question: str) -> Any:
    """The value of a JavaScript expression on a page, once that is loaded."""
    return asyncio.run(_ask(port, page.absolute().as_uri(), question))


async def _ask(port: int, address: str, question: str) -> Any:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(SECONDS)) as session:
        async with session.put(f"http://127.0.0.1:{port}/json/new?{address}") as tab:
            socket = (await tab.json())["webSocketDebuggerUrl"]
        async with session.ws_connect(socket, max_msg_size=0) as connection:
            end = time.monotonic() + SECONDS
            is_there = "location.protocol != 'about:' && document.readyState == 'complete'"  # a new tab is empty first
            while time.monotonic() < end:
                answer = await _evaluate(connection, f"{is_there} ? JSON.stringify({question}) : ''")
                if answer:
                    return json.loads(answer)
                await asyncio.sleep(0.1)
    raise TimeoutError(f"{address} does not load")


async def _evaluate(connection: aiohttp.ClientWebSocketResponse, expression: str) -> Any:
    await connection.send_json({"id": 1, "method": "Runtime.evaluate", "params": {"expression": expression}})
    while "id" not in (answer := await connection.receive_json()):
        pass  # an event
    assert "exceptionDetails" not in answer["result"], answer
    return answer["result"]["result"].get("value")
