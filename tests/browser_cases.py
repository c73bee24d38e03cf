"""A headless browser that opens a page and answers questions about it, through the DevTools protocol."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
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


def look(
    port: int, address: str, text: str, *, cookies: Mapping[str, str] | None = None, picture: Path | None = None
) -> str:
    """The text of a page, once `text` is in it.

    cookies: names and values, of the page's host. picture: PNG file to write of what is shown then.
    """
    return asyncio.run(_look(port, address, text, cookies or {}, picture))


async def _look(port: int, address: str, text: str, cookies: Mapping[str, str], picture: Path | None) -> str:
    async with _tab(port, "about:blank") as tab:
        for name, value in cookies.items():
            await _call(tab, "Network.setCookie", {"name": name, "value": value, "url": address})
        await _call(tab, "Page.navigate", {"url": address})
        end, shown = time.monotonic() + SECONDS, ""
        while text not in shown and time.monotonic() < end:
            await asyncio.sleep(0.5)
            shown = await _evaluate(tab, "document.body ? document.body.innerText : ''")
        if picture is not None:
            await asyncio.sleep(1.0)  # transitions
            content = await _call(tab, "Page.captureScreenshot", {"format": "png"})
            picture.write_bytes(base64.b64decode(content["data"]))
        assert text in shown, f"{address} shows no {text!r}: {shown}"
        return shown


async def _ask(port: int, address: str, question: str) -> Any:
    async with _tab(port, address) as tab:
        end = time.monotonic() + SECONDS
        is_there = "location.protocol != 'about:' && document.readyState == 'complete'"  # a new tab is empty first
        while time.monotonic() < end:
            answer = await _evaluate(tab, f"{is_there} ? JSON.stringify({question}) : ''")
            if answer:
                return json.loads(answer)
            await asyncio.sleep(0.1)
    raise TimeoutError(f"{address} does not load")


@asynccontextmanager
async def _tab(port: int, address: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A new tab, opened at `address`."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(SECONDS)) as session:
        async with session.put(f"http://127.0.0.1:{port}/json/new?{address}") as answer:
            socket = (await answer.json())["webSocketDebuggerUrl"]
        async with session.ws_connect(socket, max_msg_size=0) as tab:
            yield tab


async def _evaluate(tab: aiohttp.ClientWebSocketResponse, expression: str) -> Any:
    result = await _call(tab, "Runtime.evaluate", {"expression": expression})
    assert "exceptionDetails" not in result, result
    return result["result"].get("value")


async def _call(tab: aiohttp.ClientWebSocketResponse, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a call of the DevTools protocol."""
    await tab.send_json({"id": 1, "method": method, "params": dict(parameters)})
    while "id" not in (answer := await tab.receive_json()):
        pass  # an event
    result: dict[str, Any] = answer["result"]
    return result
