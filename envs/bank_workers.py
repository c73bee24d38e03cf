"""Processes that fill a level bank beside a training, and that end with the process that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from polyray.envs.bank_files import SHARD_SIZE, shard_path, shard_seeds, write_shard
from polyray.envs.levels import Level


@dataclass(frozen=True, kw_only=True)
class Order:
    """Shards wanted: the first `shards` of every level, `size` start states each."""

    folder: Path
    levels: tuple[Level, ...]
    seed: int
    split: str = "training"
    shards: int = 32
    size: int = SHARD_SIZE

    def path(self, level: Level, number: int) -> Path:
        """Where that shard is kept."""
        return shard_path(self.folder, level, self.seed, self.split, number)

    def make(self, level: Level, number: int) -> None:
        """Makes that shard if it is not there."""
        if not self.path(level, number).exists():
            seeds = shard_seeds(level, self.seed, self.split, number, self.size)
            write_shard(self.path(level, number), level, seeds)


class Workers:
    """`n` processes that carry out an order, the first shard of every level first.

    They end when they are done, at `close`, and when this process ends, however it does.
    """

    def __init__(self, order: Order, n: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._processes = [context.Process(target=_work, args=(order, k, n), daemon=True) for k in range(n)]
        for process in self._processes:
            process.start()

    def failed(self) -> int | None:
        """The exit code of a process that failed, None while none has."""
        return next((process.exitcode for process in self._processes if process.exitcode), None)

    def alive(self) -> bool:
        """Whether a process is still at work."""
        return any(process.is_alive() for process in self._processes)

    def close(self) -> None:
        """Ends the processes; shards half made are left out."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()


def _work(order: Order, worker: int, n_workers: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, who ends this process
    threading.Thread(target=_end_with_owner, daemon=True).start()
    os.nice(10)  # the training comes first
    wanted: Sequence[tuple[int, Level]] = [(k, level) for k in range(order.shards) for level in order.levels]
    for number, level in wanted[worker::n_workers]:
        order.make(level, number)


def _end_with_owner() -> None:
    owner = multiprocessing.parent_process()
    if owner is not None:
        owner.join()
        os._exit(1)
