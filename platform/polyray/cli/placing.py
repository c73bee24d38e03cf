"""The folder that a command writes: the one that the user named, a new one, or a working copy of one behind a URL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:  # a command that names no URL does without it
    from polyray.runs.store.working import WorkingCopy


@contextmanager
def placed(
    out: str | None, name: str, console: Console, *, writes: bool = True, **ways: Callable[[str], bool]
) -> Iterator[tuple[Path, "WorkingCopy | None"]]:
    """The folder for `--out`, and the working copy that it is where `out` is a URL.

    Args:
        out: None: a new folder in runs/, named after `name` and the time.
        writes: whether the command writes it.
        ways: `covers` and `reads`, see `polyray.runs.store.working.working_copy`.

    Raises:
        InputError: the storage behind the URL cannot be reached or written, or another process writes there.
    """
    if out is None:
        yield import_module("polyray.runs.folder").new_run_folder(name), None
    elif not import_module("polyray.runs.store.remote").is_url(out):
        yield Path(out), None
    else:
        working = import_module("polyray.runs.store.working")

        def say(line: str) -> None:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

        with (working.working_copy if writes else working.reading_copy)(out, say, **ways) as copy:
            yield copy.folder, copy
