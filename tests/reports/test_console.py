"""Tables on the console show names as they are, and jobs say what was repeated or cut."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from polyray.backbones import load_backbone
from polyray.errors import InputError
from polyray.objectives import OBJECTIVES, TextOptions
from polyray.progress import bars
from polyray.reports.console import print_note, print_scores, print_table
from polyray.tasks import Suite, Task, TextAnswers
from polyray.training.data import repeats

NAMES = ("[/]", "[bold]x[/bold]", ":smile:", "[link=file:///etc/passwd]a")


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_names_that_look_like_markup_are_shown_as_they_are(console: Console) -> None:
    print_table(console, NAMES[0], ["task", *NAMES], [[name, "1", "2", "3", "4"] for name in NAMES], ["mean"])
    print_scores(console, {"mean": 0.5, "tasks": {name: {"ACC": 0.5, "n": 3} for name in NAMES}})
    for name in NAMES:
        print_note(console, name)
        with bars(console) as display:
            display.add_task(name, total=1, note=name)
        assert shown(console).count(name) >= 4
    before = shown(console)
    print_note(console, "")
    assert shown(console) == before


def test_scores_are_printed_in_percent_with_their_metric_and_mean(console: Console) -> None:
    print_scores(console, {"mean": 0.625, "tasks": {"rte": {"ACC": 0.75}, "cola": {"EM": 0.5, "n": 4}}})
    words = shown(console).split()
    assert words[words.index("rte") + 2 : words.index("rte") + 5 : 2] == ["ACC", "75.0"]
    assert "62.5" in words and "50.0" in words


def task(name: str, **splits: list[str]) -> Task:
    examples = {
        split: tuple(TextAnswers(task=name, input=text, outputs=("y",)) for text in texts)
        for split, texts in splits.items()
    }
    return Task(
        name=name, category="", metric="ACC", labels=("y",), seeds=(0,), read=lambda split, seed: examples[split]
    )


def test_test_examples_that_are_training_examples_too_are_counted() -> None:
    tasks = {
        "a": task("a", train=["1", "2"], dev=["3"], test=["1", "3", "4"]),
        "b": task("b", train=["1"], dev=[], test=["2"]),
    }  # fmt: skip
    suite = Suite(name="s", tasks=tasks, partition={"train": ("a", "b")})
    assert repeats(suite, ["b"]) == ""
    assert repeats(suite, ["a", "b"]).startswith("2 of 3 test examples of 'a' are among the train or dev examples too")


def test_what_the_backbone_cannot_read_is_counted_and_told_as_the_backbone_s_limit() -> None:
    for name, objective in (("tiny-seq2seq", "answers"), ("tiny-encoder", "choices")):
        backbone = replace(load_backbone(name), reach=64)
        texts = [TextAnswers(task="t", input="x" * length, outputs=("y",)) for length in [301] * 5 + [63]]
        tasks = {"t": task("t")}
        rows = OBJECTIVES[objective].encode(backbone, tasks, texts, TextOptions(max_input=512, too_long="truncate"))
        assert [row.cut for row in rows] == [True] * 5 + [False]  # 63 bytes and an end are 64 tokens
        with pytest.raises(InputError, match=f"5 of 6 .* than 64 tokens, the most that the backbone {name} reads"):
            OBJECTIVES[objective].encode(backbone, tasks, texts, TextOptions(max_input=512))
        with pytest.raises(InputError, match=r"longer than text\.max_input=32 .*Raise the limits"):
            OBJECTIVES[objective].encode(backbone, tasks, texts, TextOptions(max_input=32))


def test_an_answer_that_an_encoder_cannot_embed_whole_counts_as_too_long() -> None:
    backbone = replace(load_backbone("tiny-encoder"), reach=8)
    example = TextAnswers(task="t", input="x", outputs=("y" * 20,), choices=("y" * 20, "z"))
    with pytest.raises(InputError, match="1 of 1 examples are longer than 8 tokens"):
        OBJECTIVES["choices"].encode(backbone, {"t": task("t")}, [example], TextOptions())
