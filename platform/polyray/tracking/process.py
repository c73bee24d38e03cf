"""The process that talks to a tracker: nothing that a tracker's library does reaches the run.

It is started by `polyray.tracking.connection` and reads one JSON object a line: first {"tracker", "options"}, then
{"follow": RUN FOLDER, "opening"} and {"end": RUN FOLDER, "status", "metrics"}. The end of its input ends it: runs that
have not ended by then were killed. For each failure it writes {"failure": TEXT} to its standard output.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from polyray.tracking.publisher import Publisher
from polyray.tracking.tracker import Opening, Tracker

LOOK = 0.5  # seconds between two looks into the run folders
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0  # seconds until a tracker that failed is tried again
LAST_TRIES, LAST_WAIT = 3, 60.0  # when everything ends, and seconds until it does where the run was killed


@dataclass(kw_only=True)
class Publishing:
    """Run folders that are published to one tracker.

    Attributes:
        kind: the class of the tracker runs.
        options: plain values of the tracker's options.
        complain: called with a line about each failure.
    """

    kind: type[Tracker]
    options: Mapping[str, Any]
    complain: Callable[[str], object]
    publishers: dict[str, Publisher] = field(default_factory=dict)
    wait: float = 0.0
    retry_at: float = 0.0

    def receive(self, message: Mapping[str, Any]) -> None:
        """Follow a run folder, or learn that its run has ended."""
        if "follow" in message:
            folder = message["follow"]
            self.publishers[folder] = Publisher(Path(folder), Opening(**message["opening"]), self.kind, self.options)
        elif message["end"] in self.publishers:
            self.publishers[message["end"]].end(message["status"], message["metrics"])

    def advance(self, now: float) -> None:
        """Send what is new of all runs; after a failure nothing is tried for a while, for they share a server.

        Args:
            now: seconds on some clock.
        """
        if now < self.retry_at:
            return
        for folder, publisher in list(self.publishers.items()):
            try:
                publisher.advance()
            except Exception as error:  # noqa: BLE001  # a tracker's library may raise anything; the run goes on
                publisher.reopen()
                self._put_off(error, now)
                self.publishers[folder] = self.publishers.pop(folder)  # the others come first next time
                return
            if publisher.is_over:
                del self.publishers[folder]
        self.wait = 0.0

    def close(self) -> bool:
        """Send the rest at once; runs that have not ended were interrupted. Whether all of it was sent."""
        for publisher in self.publishers.values():
            publisher.interrupt()
        for _ in range(LAST_TRIES):
            self.advance(self.retry_at)
        return not self.publishers

    def _put_off(self, error: Exception, now: float) -> None:
        self.wait = min(max(2 * self.wait, FIRST_WAIT), LONGEST_WAIT)
        self.retry_at = now + self.wait
        traceback.print_exception(error)
        self.complain(" ".join(f"{type(error).__name__}: {error}".split())[:300])


def main() -> None:
    """Publish until the input ends; exit code 1 where something could not be sent."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):  # they are for the run
        signal.signal(number, signal.SIG_IGN)
    answers, parent = _private_output(), os.getppid()
    messages: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
    setup = json.loads(sys.stdin.readline())
    threading.Thread(target=_read, args=(messages,), daemon=True).start()
    module, _, name = setup["tracker"].partition(":")

    def complain(text: str) -> None:
        print(json.dumps({"failure": text}), file=answers, flush=True)

    publishing = Publishing(kind=vars(import_module(module))[name], options=setup["options"], complain=complain)
    look = time.monotonic()
    while True:
        try:
            message = messages.get(timeout=max(0.0, look - time.monotonic()))
        except queue.Empty:
            publishing.advance(time.monotonic())
            look = time.monotonic() + LOOK
            continue
        if message is None:
            threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
            sys.exit(0 if publishing.close() else 1)
        publishing.receive(message)


def _read(messages: queue.SimpleQueue[Mapping[str, Any] | None]) -> None:
    """Hand on what comes in, so that whoever writes never waits for a tracker."""
    for line in sys.stdin:
        messages.put(json.loads(line))
    messages.put(None)


def _end_after(parent: int) -> None:
    """End this process some time after its parent, for a library may hang."""
    while os.getppid() == parent:  # which is patient for a time, and then ends this process
        time.sleep(1.0)
    time.sleep(LAST_WAIT)
    os._exit(1)


def _private_output() -> TextIO:
    """The standard output for answers alone: whatever libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
