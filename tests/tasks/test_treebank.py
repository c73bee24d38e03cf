"""Treebanks become trees; what is no tree is named by file and line."""

from pathlib import Path

import pytest
from gathering import for_cases

from polyray.errors import InputError
from polyray.tasks import ParsedWords, Suite, TasksOptions, load_suite
from polyray.tasks.conllu import RELATIONS


def sentence(*arcs: tuple[object, str], before: str = "") -> str:
    rows = [f"{word}\tw{word}\t_\tX\t_\t_\t{head}\t{relation}\t_\t_" for word, (head, relation) in enumerate(arcs, 1)]
    return before + "\n".join(rows) + "\n\n"


GOOD = sentence((2, "nsubj:pass"), (0, "root"), (2, "punct"), before="# text = x\n1-2\tab" + "\t_" * 8 + "\n")


def load(folder: Path, **fields: object) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": "treebank", "path": str(folder), **fields}))


def write(folder: Path, train: str, **splits: str) -> Path:
    for split, text in {"train": train, **splits}.items():
        file = folder / "UD_Toy" / f"xx_toy-ud-{split}.conllu"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folder


def test_a_sentence_is_its_words_with_heads_and_relations_without_subtypes(tmp_path: Path) -> None:
    task = load(write(tmp_path, GOOD, test=sentence((0, "root")))).tasks["UD_Toy"]
    assert task.examples("train") == (
        ParsedWords(task="UD_Toy", words=("w1", "w2", "w3"), heads=(2, 0, 2), relations=("nsubj", "root", "punct")),
    )  # fmt: skip
    assert (task.labels, task.metric, task.objective, task.category) == (RELATIONS, "las", "parsing", "trees")
    assert task.examples("train")[0].line == "w1 w2 w3\t2:nsubj 0:root 2:punct"


def test_subtypes_can_be_kept_and_relations_and_metric_chosen(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert load(tmp_path, subtypes=True, metric="uas").tasks["UD_Toy"].labels == ("nsubj:pass", "punct", "root")
    chosen = load(tmp_path, relations=["nsubj", "root", "punct", "x"]).tasks["UD_Toy"]
    assert chosen.labels == ("nsubj", "punct", "root", "x")
    with pytest.raises(InputError, match=r"train\.conllu:5: 'punct' is not among tasks\.relations"):
        load(tmp_path, relations=["nsubj", "root"])


def wrong(*arcs: tuple[object, str], line: int, message: str) -> dict[str, object]:
    return {"arcs": arcs, "line": line, "message": message}


@for_cases(
    [
        wrong(("_", "root"), line=1, message="the head of word 1 is '_'; expected 0 for the root, or another of the w"),
        wrong((0, "root"), (3, "obj"), line=2, message="the head of word 2 is '3'; .* words 1 to 2"),
        wrong((0, "root"), (2, "obj"), line=2, message="the head of word 2 is '2'"),
        wrong((0, "root"), ("\u0661", "obj"), line=2, message="the head of word 2 is"),
        wrong((0, "root"), (-1, "obj"), line=2, message="the head of word 2 is '-1'"),
        wrong((2, "obj"), (1, "obj"), line=1, message="a sentence without a root; expected one word with the head 0"),
        wrong((0, "root"), (1, "obj"), (0, "root"), line=3, message="a second root"),
        wrong((0, "root"), (4, "a"), (2, "b"), (3, "c"), line=2, message="the heads 2 -> 4 -> 3 -> 2 are a cycle"),
        wrong((0, "root"), (1, "subj"), line=2, message="'subj' is not among the universal rel.*mean 'nsubj'"),
        wrong((0, "root"), (1, "root"), line=2, message="the relation 'root' to the head 1; .* go together"),
        wrong((0, "obj"), (1, "obj"), line=1, message="the relation 'obj' to the head 0"),
    ]
)
def test_a_sentence_that_is_no_tree_is_refused(
    tmp_path: Path, arcs: tuple[tuple[object, str], ...], line: int, message: str
) -> None:
    write(tmp_path, GOOD + sentence(*arcs))
    with pytest.raises(InputError, match=rf"train\.conllu:{line + 6}: {message}"):
        load(tmp_path)


def test_a_folder_without_treebanks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no treebank; expected files such as UD_Wolof"):
        load(tmp_path)
