"""TensorBoard's HParams page: the fields of a trial beside what it reached."""

import io
import time
from collections.abc import Mapping
from pathlib import Path

from polyray.files import make_folders, write_file
from polyray.runs.run import EVENTS

FILE = "events.out.tfevents.hparams"  # after those of the run, which have their time here, in TensorBoard's order
GOAL = "goal/"  # begins the names of the figures that the page shows

Scalar = str | int | float | bool


def write_hyperparameters(
    out: Path, fields: Mapping[str, Scalar], examples: Mapping[str, Scalar], goals: Mapping[str, float], step: int
) -> None:
    """Write the fields and goals of the finished run in `out` beside its other events, as no other run of TensorBoard.

    Args:
        fields: by dotted name, those that the trial read.
        examples: a value of each field that any trial of the sweep may read: the columns of the page.
        goals: final figures by dotted name.
        step: after how many steps they were reached.

    Raises:
        StorageError: the disk refused.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter
    from torch.utils.tensorboard.summary import hparams, scalar

    figures = {GOAL + name: value for name, value in goals.items()}
    experiment, _, _ = hparams(dict(examples), figures)
    _, start, end = hparams(dict(fields), figures)
    content = io.BytesIO()
    events, now = RecordWriter(content), time.time()
    events.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    for summary in (experiment, start, end, *(scalar(name, value) for name, value in figures.items())):
        events.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
    make_folders(out / EVENTS)
    write_file(out / EVENTS / FILE, content.getvalue())
