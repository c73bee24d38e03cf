"""Hostile input files, drawn from a seed: small valid files of every format with one thing done to them."""

import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from polyray.config import load_config
from polyray.errors import InputError
from polyray.skills.card import BackboneCard, Card
from polyray.skills.library import verify
from polyray.skills.skill import Skill, save_skill
from polyray.sweeps.reading import parse_space
from polyray.sweeps.writing import dump_space
from polyray.tasks import TasksOptions, load_suite, read_all
from polyray.training.recipe import TrainingRecipe
from polyray.tune_spaces.loading import load_space

LONGEST, LARGEST = 10.0, 2**30  # seconds, bytes

PIECES = (
    b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\r", b"\t", b"\n\n", b'"', b"{", b"}", b"[" * 3000, b"{" * 200,
    b"9" * 5000, b"1e999", b"NaN", b".inf", b"-.inf", b"null", b"true", b"\\ud800", b'"\\udfff"', "\u2028".encode(),
    b"*a", b"&a ",
    b"<<: *a\n", b"!!python/object/apply:os.system ['true']", b"2024-13-45", b"---\n", b"\x1b[31m", b"../../x", b"%s%n",
    b"[/]", b"x" * 300, b"# ", b": ", b"- ", b",", b"\\", b"0x", b"O\tO", b"-DOCSTART-", b"1-2\t_", b'"a": 1, "a": 2,',
)  # fmt: skip


def write_crossfit(folder: Path) -> None:
    (folder / "mood").mkdir()
    for split in ("train", "dev", "test"):
        (folder / "mood" / f"mood_16_13_{split}.tsv").write_text("fine film\tgood\ndull film\tbad\n")
    (folder / "tasks.json").write_text('{"mood": {"metric": "ACC", "labels": ["good", "bad"]}}')
    (folder / "custom_tasks_splits").mkdir()
    (folder / "custom_tasks_splits" / "all.json").write_text('{"train": ["mood"],\n "dev": [], "test": []}')


def write_jsonl(folder: Path) -> None:
    (folder / "mood").mkdir()
    for split in ("train", "dev", "test"):
        (folder / "mood" / f"{split}.jsonl").write_text('{"input": "fine", "output": ["good", "great"]}\n' * 3)
    (folder / "mood" / "task.json").write_text('{"category": "classification",\n "metric": "EM"}')
    (folder / "partition.json").write_text('{"train": ["mood"]}')


def write_conll(folder: Path) -> None:
    (folder / "eng").mkdir()
    for split in ("train", "dev", "test"):
        (folder / "eng" / f"{split}.conll").write_text("Ada\tB-PER\nsang\tO\n\nhere\tO\n")
    (folder / "ud").mkdir()
    row = "\t".join(["1", "Ada", "_", "PROPN", *["_"] * 6])
    (folder / "ud" / "en-ud-train.conllu").write_text(f"# text = Ada\n{row}\n\n" * 12)


def write_classification(folder: Path) -> None:
    for split in ("train", "dev"):
        (folder / split).mkdir()
        (folder / split / "aym.tsv").write_text("id\tpremise\thypothesis\tlabel\n1\ta b\tc\tyes\n2\td\te\tno\n")
    rows = '{"premise": "a", "hypothesis": "b", "label": "yes"}\n{"premise": "a", "hypothesis": "c", "label": 1}\n'
    (folder / "train" / "eng.jsonl").write_text(rows)


def write_treebank(folder: Path) -> None:
    rows = [f"{number}\tAda\t_\tPROPN\t_\t_\t{head}\t{relation}\t_\t_" for number, head, relation in
            (("1-2", "_", "_"), (1, 2, "nsubj:pass"), (2, 0, "root"), ("2.1", "_", "_"))]  # fmt: skip
    (folder / "ud-train.conllu").write_text("# text = Ada\n" + "\n".join(rows) + "\n\n")


def write_squad(folder: Path) -> None:
    (folder / "eng-train.json").write_text(
        '{"version": "1.1",\n "data": [{"title": "t", "paragraphs": [{"context": "so fine", "qas": [\n'
        '  {"id": "1", "question": "How?", "answers": [{"text": "fine", "answer_start": 3}]}]}]}]}'
    )
    row = '{"id": 1, "question": "a", "context": "b c", "answers": {"text": ["c"], "answer_start": [2]}}\n'
    (folder / "eng-dev.jsonl").write_text(row * 2)


def write_text(folder: Path) -> None:
    (folder / "hau.txt").write_text("".join(f"line {number}\n" for number in range(30)))


def write_config(folder: Path) -> None:
    (folder / "config.yaml").write_text(
        "suite: jsonl\ntasks:\n  path: data\n  train_splits: [train, dev]\nmodules: &a\n  kind: lora\n  rank: 4\n"
        "training:\n  steps: 10\n  lr: 1e-3\n  checkpointing: off\n"
    )


def write_space(folder: Path) -> None:
    (folder / "mine.yaml").write_text(
        "about: mine\njob: polytropon\ngoal: mean\nfields:\n  training.lr: {loguniform: [1e-4, 1e-2]}\n"
        "  routing.kind:\n    choice: [soft, hard]\n  routing.top:\n    about: few\n    int: [1, 5]\n    step: 2\n"
        "    only_with: {routing.kind: [hard]}\n  training.warmup: {uniform: [0, 0.5], step: 0.1}\n"
        "  training.batch: {grid: [8, 16]}\n  routing.n_skills: {logint: [5, 9]}\n"
    )


def read_space_for_training(folder: Path) -> None:
    space = load_space(str(folder / "mine.yaml"), "polytropon", TrainingRecipe)
    assert parse_space(dump_space(space), "written") == space


def write_skill(folder: Path) -> None:
    card = Card(
        name="first", kind="lora", backbone=BackboneCard(name="tiny-causal", fingerprint="f"), sites=("a",),
        options={"rank": 2}, tasks=("t",),
    )  # fmt: skip
    save_skill(Skill(card=card, tensors={"a/down.weight": torch.ones(2, 3)}), folder / "first")


def read_suite(kind: str, **options: str) -> Callable[[Path], object]:
    """Reading of all examples of all tasks in a folder."""
    return lambda folder: read_all(
        load_suite(TasksOptions.model_validate({"kind": kind, "path": str(folder), **options}))
    )


FORMATS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "TSV": (write_crossfit, read_suite("crossfit", partition="all")),
    "JSON lines": (write_jsonl, read_suite("jsonl")),
    "CoNLL": (write_conll, read_suite("conll")),
    "classification": (write_classification, read_suite("classification")),
    "treebank": (write_treebank, read_suite("treebank")),
    "SQuAD": (write_squad, read_suite("squad")),
    "text": (write_text, read_suite("text")),
    "YAML": (write_config, lambda folder: load_config(TrainingRecipe, folder / "config.yaml")),
    "space": (write_space, read_space_for_training),
    "skill": (write_skill, verify),
}


def flip(content: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 3, 30))):
        content[draw.randrange(len(content))] = draw.randrange(256)


def insert(content: bytearray, draw: random.Random) -> None:
    position = draw.randrange(len(content) + 1)
    content[position:position] = draw.choice(PIECES)


def replace_word(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    content[start : start + draw.randrange(1, 12)] = draw.choice(PIECES)


def cut(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    del content[start : start + draw.choice((1, 5, len(content)))]


def repeat(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    piece = content[start : start + draw.randrange(1, 60)]
    content[start:start] = piece * draw.choice((1, 2, 1000))


def lengthen(content: bytearray, draw: random.Random) -> None:
    position = draw.randrange(len(content) + 1)
    piece = draw.choice((b"x", b" ", b"\n", b"[", b"a\t", b"a: {"))
    content[position:position] = piece * draw.choice((10_000, 5 * 2**20))


CONTENTS = (flip, insert, insert, replace_word, replace_word, cut, repeat, lengthen)


def pipe(file: Path) -> None:
    os.mkfifo(file)


def endless(file: Path) -> None:
    file.symlink_to("/dev/zero")


def circle(file: Path) -> None:
    file.symlink_to(file)


def sparse(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(2**31)


KINDS: tuple[Callable[[Path], None], ...] = (pipe, endless, circle, sparse, Path.mkdir, Path.touch, lambda file: None)


def listing(folder: Path) -> list[str]:
    return sorted(f"{path.relative_to(folder)} {path.lstat().st_size}" for path in folder.rglob("*"))


def attempt(number: int, seed: int = 0, kind: str = "") -> str:
    """Make hostile folder `number` of this seed, and read it: what went wrong, empty if nothing.

    Args:
        kind: its format; empty: the formats take turns.
    """
    kind = kind or list(FORMATS)[number % len(FORMATS)]
    write, read = FORMATS[kind]
    draw = random.Random(f"{seed} {number}")
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    try:
        write(folder)
        file = draw.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        if draw.random() < 0.2:
            file.unlink()
            draw.choice(KINDS)(file)
        else:
            content = bytearray(file.read_bytes())
            draw.choice(CONTENTS)(content, draw)
            file.write_bytes(content)
        wrong = judged(read, folder)
        return f"{kind} {number} ({file.name}): {wrong}" if wrong else ""
    finally:
        shutil.rmtree(folder)


def judged(read: Callable[[Path], object], folder: Path) -> str:
    """Fault of reading, empty if there is none; a refusal with one message is right."""
    before, started = listing(folder), time.process_time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = ""
    try:
        read(folder)
    except InputError as error:
        wrong = "the message is empty or longer than a page" if not 0 < len(str(error)) < 4000 else ""
    except Exception as error:  # noqa: BLE001  # every other error is what is looked for
        wrong = f"{type(error).__name__}: {error}"[:200]
    if time.process_time() - started > LONGEST:
        wrong = f"{time.process_time() - started:.0f} s"
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024 > LARGEST:
        wrong = "more than 1 GB of memory"
    return wrong or ("" if listing(folder) == before else "something was written")
