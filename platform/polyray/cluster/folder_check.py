"""A look whether all nodes of a cluster see the folder of the results and can write there, before a run needs it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import ray

from polyray.cluster.asking import PATIENCE, ask_nodes, refusal
from polyray.errors import InputError
from polyray.files import absent_folders
from polyray.files.whole import UNFINISHED

REMEDY = "Choose an --out on storage that all nodes share and may write to, or the URL of an object store."


def check_folder(out: Path) -> None:
    """Refuse a folder that another node of the cluster cannot write, or that is another one there.

    Args:
        out: absolute path of the folder for results, which need not be there.

    Raises:
        InputError: that is so; the message names the node.
    """
    here = ray.get_runtime_context().get_node_id()
    nodes = {n["NodeID"]: str(n["NodeManagerAddress"]) for n in ray.nodes() if n["Alive"] and n["NodeID"] != here}
    if not nodes:
        return
    with witness(out) as file:
        answers = ask_nodes(problem_there, {node: (str(existing(out)), file) for node in nodes}, PATIENCE, retries=1)
    late = f"it did not answer within {PATIENCE:g} s"
    problems = {nodes[node]: problem for node, answer in answers.items() if (problem := refusal(answer, late))}
    if problems:
        node, problem = next(iter(problems.items()))
        raise InputError(f"--out {out}: the node {node} cannot write there ({problem}). {REMEDY}")


@contextmanager
def witness(out: Path) -> Iterator[str]:
    """Within the block, the path of a file in the folder or the nearest one above it; empty: none can be made there."""
    file = existing(out) / f"{UNFINISHED}probe-{token_hex(4)}"
    try:
        file.touch()
    except OSError:
        yield ""
        return
    try:
        yield str(file)
    finally:
        file.unlink(missing_ok=True)


def problem_there(folder: str, file: str) -> str:
    """Why this node cannot write to the folder that the driver sees; empty: it can.

    Args:
        file: a file that the driver has made there; empty: it could not.
    """
    if file and not os.path.exists(file):
        return f"{folder} of the driver's machine is not there, or is another folder"
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"polyray")
            probe.flush()
    except OSError as error:
        return f"{folder}: {error.strerror or error}"
    return ""


def existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    absent = absent_folders(path)
    return Path(os.path.dirname(absent[-1])) if absent else path
