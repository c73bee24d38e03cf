"""Ray tasks: independent pieces of work, their results as they come."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
import torch
from ray.exceptions import RayTaskError

from polyray.errors import InputError, RunError

Piece = TypeVar("Piece")


def run_tasks(
    work: Callable[[Piece], dict[str, Any]], pieces: Sequence[Piece], *, cpus: float = 1, gpus: float = 0
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(index, work(piece)) for every piece as it is done, in parallel; a piece whose worker dies is done again.

    Raises:
        InputError: the work found fault with the user's input.
        RunError: the work failed; the message holds the worker's own.
    """
    remote: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=3)(_enter)
    waiting = {remote.remote(work, piece, os.getcwd()): index for index, piece in enumerate(pieces)}
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1)
        index = waiting.pop(done[0])
        try:
            outcome = ray.get(done[0])
        except RayTaskError as error:
            raise RunError(f"A task failed: {error}") from error
        if "input_error" in outcome:
            raise InputError(outcome["input_error"])
        yield index, outcome


def _enter(work: Callable[[Piece], dict[str, Any]], piece: Piece, folder: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    enter_folder(folder)
    try:
        return work(piece)
    except InputError as error:
        return {"input_error": str(error)}


def enter_folder(folder: str) -> None:
    """Work where the driver works, so that its relative paths hold; elsewhere where this machine has no such folder."""
    if os.path.isdir(folder):
        os.chdir(folder)
