"""Identity of a process, by which another one on the same machine sees at once that it is gone."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity() -> dict[str, Any]:
    """This process: its machine's name, start and space of process numbers, its own number and start."""
    return {"host": socket.gethostname(), "machine": _machine(), "process": os.getpid(), "begun": _begun(os.getpid())}


def is_gone(other: Mapping[str, Any]) -> bool:
    """Whether the process `other`, see `identity`, has ended; False where it is not for this machine to say."""
    process, machine = other.get("process"), other.get("machine")
    if not isinstance(process, int) or not machine or machine != _machine():
        return False
    return _begun(process) != other.get("begun")


def _machine() -> str:
    """This start of this machine, and the space of its process numbers; empty on systems without /proc."""
    try:
        return f"{BOOT.read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _begun(process: int) -> str:
    """When a process began, in the machine's own ticks; empty: there is none, or it has ended and waits to be seen."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if fields[0] in "ZX" else fields[19]
