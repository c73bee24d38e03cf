"""The sums of a finished run, by which a later start sees whether to believe its result."""

import json
from pathlib import Path

from polyray.files import write_file
from polyray.files.disk import Point, disk
from polyray.runs.sums import SUMS, damage, sums_of

NOT_SUMMED = (
    "log.txt", ".lock", "starts.jsonl", "stop", "logs", "checkpoints", "tensorboard", "tracking", "progress.jsonl",
    "videos", "report.html", SUMS,
)  # fmt: skip
"""Files and folders that a finished run can lose, or that change after it has ended."""


def write_run_sums(out: Path) -> None:
    """Write the sums of the finished run in `out`; its files are on the disk before.

    Raises:
        StorageError: the disk refused.
    """
    sums = sums_of(out, NOT_SUMMED)
    for name in sums:
        disk().sync(Point.FILE_SYNCED, out / name)
    write_file(out / SUMS, json.dumps(sums, indent=1))


def run_damage(out: Path) -> str | None:
    """Description of what was lost or altered since the run in `out` ended, None if everything is as it was."""
    return damage(out, NOT_SUMMED, more=True)
