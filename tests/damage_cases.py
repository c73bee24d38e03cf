"""Damages of a folder, drawn from a seed: bytes flipped, files cut, deleted, swapped, lines lost or doubled."""

import random
from collections.abc import Callable
from pathlib import Path

IGNORED = ("progress.jsonl", "log.txt", ".lock")  # what a run writes for people, and never reads for its results


def damage(folder: Path, seed: int) -> str:
    """Damage one file below `folder`, or two by swapping them; what was done."""
    generator = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_ignored(path, folder))
    file = generator.choice(files)
    name = file.relative_to(folder)
    kind = generator.choice(list(DAMAGES))
    DAMAGES[kind](file, generator, files)
    return f"seed {seed}: {kind} {name}"


def _is_ignored(path: Path, folder: Path) -> bool:
    return path.name in IGNORED or "tensorboard" in path.relative_to(folder).parts


def _flip(file: Path, generator: random.Random, _: list[Path]) -> None:
    content = bytearray(file.read_bytes())
    for _round in range(generator.choice([1, 1, 100])):
        if content:
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    file.write_bytes(content)


def _cut(file: Path, generator: random.Random, _: list[Path]) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: generator.randrange(len(content) + 1)])


def _delete(file: Path, generator: random.Random, _: list[Path]) -> None:
    file.unlink()


def _swap(file: Path, generator: random.Random, files: list[Path]) -> None:
    other = generator.choice(files)
    first, second = file.read_bytes(), other.read_bytes()
    file.write_bytes(second)
    other.write_bytes(first)


def _lines(file: Path, generator: random.Random, _: list[Path]) -> None:
    lines = file.read_bytes().splitlines(keepends=True) or [b"\n"]
    index = generator.randrange(len(lines))
    edit = generator.choice(["lose", "double", "blank", "foreign"])
    replacement = {"lose": [], "double": [lines[index]] * 2, "blank": [b"\n", lines[index]], "foreign": [b'{"a": 1}\n']}
    file.write_bytes(b"".join([*lines[:index], *replacement[edit], *lines[index + 1 :]]))


DAMAGES: dict[str, Callable[[Path, random.Random, list[Path]], None]] = {
    "flip": _flip,
    "cut": _cut,
    "delete": _delete,
    "swap": _swap,
    "lines": _lines,
}
