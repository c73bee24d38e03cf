"""Files on their way between a working copy and the objects that hold them."""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from polyray.errors import StorageError
from polyray.files.disk import Point, disk
from polyray.files.whole import UNFINISHED
from polyray.runs.store.manifest import OBJECTS, StoredFile
from polyray.runs.store.remote import Remote
from polyray.runs.store.tree import Tree

AT_ONCE = 8  # transfers
WHOLE = 8 << 20  # bytes of a file up to which it is read at once, and may change while it travels
TRIES = 5  # to upload a larger file that changes

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def at_once(action: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """The answers of `action` for all items, several of which are done at a time; the first error is raised."""
    if len(items) < 2:
        return [action(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(action, items))


def upload(remote: Remote, tree: Tree, paths: Sequence[str], prefix: str) -> list[StoredFile]:
    """Write each of the files into a new object; one that changes meanwhile is written as it is then.

    Args:
        prefix: of the objects' names, which nobody else uses.

    Raises:
        FileNotFoundError: a file is gone.
        StorageError: the storage refused, or a large file changes all the time.
    """
    items = [(path, f"{prefix}-{index:06d}") for index, path in enumerate(paths)]
    return at_once(lambda item: _upload(remote, tree, *item), items)


def _upload(remote: Remote, tree: Tree, path: str, name: str) -> StoredFile:
    file, target = tree.folder / path, f"{OBJECTS}/{name}"
    for _ in range(TRIES):
        sign = tree.sign(path)
        if sign.size <= WHOLE:
            content = file.read_bytes()
            remote.write(target, content)
            return StoredFile(name, len(content), hashlib.sha256(content).hexdigest())
        total = tree.sum(path)
        remote.upload(file, target)
        if tree.sign(path) == sign:
            return StoredFile(name, sign.size, total)
    raise StorageError(f"{file} changes faster than it can be published.")


def download(remote: Remote, tree: Tree, files: Mapping[str, StoredFile]) -> int:
    """Let the tree's folder hold these files; those that it has do not travel. Bytes that did.

    Raises:
        FileNotFoundError: an object is gone.
        StorageError: the storage or the disk refused, or an object was altered.
    """
    missing = {path: file for path, file in files.items() if not _has(tree, path, file)}
    for folder in dict.fromkeys((tree.folder / path).parent for path in missing):
        folder.mkdir(parents=True, exist_ok=True)
    sources = {file: path for path, file in reversed(missing.items())}  # several files may be of one object
    at_once(partial(_download, remote, tree), [(path, file) for file, path in sources.items()])
    for path, file in missing.items():
        if sources[file] != path:
            shutil.copyfile(tree.folder / sources[file], tree.folder / path)
    return sum(file.size for file in sources)


def _has(tree: Tree, path: str, file: StoredFile) -> bool:
    there = tree.folder / path
    return there.is_file() and tree.sign(path).size == file.size and tree.sum(path) == file.sha256


def _download(remote: Remote, tree: Tree, item: tuple[str, StoredFile]) -> None:
    path, file = item
    target = tree.folder / path
    label = hashlib.sha256(path.encode()).hexdigest()[:8]
    temporary = target.with_name(f"{UNFINISHED}{target.name}-{label}")
    try:
        remote.download(f"{OBJECTS}/{file.object}", temporary)
        if temporary.stat().st_size != file.size or disk().digest(temporary) != file.sha256:
            raise StorageError(f"{remote.url}/{OBJECTS}/{file.object} is not what was published as {path}.")
        disk().rename(Point.FILE_RENAMED, temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
