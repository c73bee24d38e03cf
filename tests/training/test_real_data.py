"""Real data through the training job: named entities, parts of speech, raw text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training_cases import train_alone

from polyray.config import load_config
from polyray.errors import InputError
from polyray.runs.metrics import read_metrics
from polyray.tasks import SPLITS, Suite, TasksOptions, load_suite
from polyray.training.recipe import TrainingRecipe

pytestmark = pytest.mark.data

TINY = (
    "backbone=tiny-encoder", "training.steps=30", "training.batch=8", "training.report_every=10",
    "training.save_every=30", "training.lr=1e-2", "training.backbone_lr=1e-3", "modules.rank=2", "modules.sites=[ffn]",
    "routing.n_skills=2", "evaluation.max_examples=20", "text.max_input=256", "text.too_long=truncate",
)  # fmt: skip


def outcome(out: Path, *overrides: str) -> tuple[list[float], dict[str, Any]]:
    """The losses and the scores of a tiny training."""
    recipe = load_config(TrainingRecipe, overrides=[*TINY, *overrides])
    metrics = train_alone(out, recipe)
    return [line["loss"] for line in read_metrics(out)], metrics


def suite(kind: str, path: Path, **fields: Any) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": kind, "path": str(path), **fields}))


def test_every_file_of_named_entities_is_read_as_it_is(data: Path) -> None:
    tasks = suite("conll", data / "ner").tasks
    assert len(tasks) == 13 and {task.metric for task in tasks.values()} == {"Entity-F1"}
    counts = {name: [len(tasks[name].examples(split)) for split in ("train", "dev", "test")] for name in tasks}
    assert counts["masakhaner-hau"] == [1912, 276, 552] and counts["en_wnut17"] == [3394, 1009, 1287]
    assert counts["en_sec_filings"] == [1042, 115, 303]  # 1157 training sentences, of which every tenth is dev
    types = {tag[2:] for tag in tasks["en_wikigold"].labels or ()} - {""}
    assert types == {"LOC", "MISC", "ORG", "PER"}
    for task in tasks.values():
        examples = task.examples("test")
        assert task.score([example.tags for example in examples], examples)["Entity-F1"] == 1.0


def test_treebanks_give_the_universal_parts_of_speech(data: Path) -> None:
    tasks = suite("conll", data / "ud").tasks
    assert len(tasks) == 10 and len(tasks["UD_English-EWT"].labels or ()) == 17
    words = sum(len(example.words) for example in tasks["UD_Wolof-WTB"].examples("test"))
    file = data / "ud" / "UD_Wolof-WTB" / "wo_wtb-ud-test.conllu"
    rows = [line.split("\t")[0] for line in file.read_text(encoding="utf-8").splitlines() if line[:1].isdigit()]
    assert words == sum(number.isdigit() for number in rows)


def letters(sentence: str) -> str:
    """A sentence without blanks and capitals, whoever cut it into words."""
    return "".join(sentence.split()).casefold()


def evaluated(data: Path) -> Iterator[tuple[str, str]]:
    """File and sentence of everything that is scored, dev and test: tagged and parsed sentences, and texts of pairs.

    Dev sentences of AmericasNLI are left out: they are the text of its languages.
    """
    for kind in ("ner", "ud"):
        for task in suite("conll", data / kind).tasks.values():
            folder = data / kind / task.name.replace("masakhaner-", "masakhaner/")
            for split in ("dev", "test"):
                if any(split in file.name for file in folder.iterdir()):  # else they are taken from training sentences
                    yield from ((f"{task.name}, {split}", " ".join(x.words)) for x in task.examples(split))
    for file in (data / "nli" / "americasnli" / "test").glob("*.tsv"):
        rows = file.read_text(encoding="utf-8").splitlines()[1:]
        yield from ((file.name, text) for row in rows for text in row.split("\t")[2:4] if text.strip())
    for file in (data / "nli" / "en_wiki").rglob("test.jsonl"):
        pairs = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        yield from ((str(file), pair[name]) for pair in pairs for name in ("premise", "hypothesis"))


def test_no_sentence_of_an_evaluation_stands_in_the_text_of_a_language(data: Path) -> None:
    texts = suite("text", data / "text").tasks.values()
    lines = {letters(x.text) for task in texts for split in SPLITS for x in task.examples(split)}
    sentences = list(evaluated(data))
    repeated = [f"{source}: {sentence}" for source, sentence in sentences if letters(sentence) in lines]
    assert not repeated, "\n".join(repeated)
    assert len(sentences) > 35_000 and len(lines) > 40_000
    trained = suite("conll", data / "ud").tasks["UD_Maltese-MUDT"].examples("train")  # of which the text was made
    assert any(letters(" ".join(example.words)) in lines for example in trained)


def test_wikigold_and_a_language_of_masakhaner_are_learned_with_one_head(data: Path, tmp_path: Path) -> None:
    types = "tasks.types=[PER,ORG,LOC]"
    tasks = "tasks.include=[en_wikigold,masakhaner-luo]"
    losses, result = outcome(tmp_path, "suite=conll", f"tasks.path={data / 'ner'}", types, tasks)
    assert losses[-1] < 0.7 * losses[0]
    assert set(result["tasks"]) == {"en_wikigold", "masakhaner-luo"} and result["too_long"] < 200
    assert all(set(scores) == {"Entity-F1", "precision", "recall"} for scores in result["tasks"].values())


def test_parts_of_speech_of_a_treebank_are_learned(data: Path, tmp_path: Path) -> None:
    path = data / "ud" / "UD_Wolof-WTB"
    losses, result = outcome(tmp_path, "suite=conll", f"tasks.path={path}")
    assert losses[-1] < 0.95 * losses[0] and result["tasks"]["UD_Wolof-WTB"]["Tag-ACC"] > 0.1


def test_raw_text_of_two_languages_is_learned_with_one_head(data: Path, tmp_path: Path) -> None:
    tasks = suite("text", data / "text").tasks
    assert len(tasks) == 27 and {task.objective for task in tasks.values()} == {"masked_lm"}
    lines = (data / "text" / "wol.txt").read_text(encoding="utf-8").splitlines()
    assert [example.text for example in tasks["wol"].examples("test")] == lines[-(len(lines) // 10) :]
    losses, result = outcome(tmp_path, "suite=text", f"tasks.path={data / 'text'}", "tasks.include=[wol,hau]")
    assert losses[-1] < 0.85 * losses[0] and result["too_long"] == 0
    assert all(set(scores) == {"Masked-ACC", "loss", "perplexity"} for scores in result["tasks"].values())
    assert all(scores["loss"] < 5.0 for scores in result["tasks"].values())  # log 259 = 5.56 knows nothing


def test_every_file_of_inference_is_read_as_it_is_and_languages_share_the_labels_of_english(data: Path) -> None:
    words = {"e": "entailment", "n": "neutral", "c": "contradiction"}
    tasks = suite("classification", data / "nli", relabel=words).tasks
    assert len(tasks) == 12 and {task.labels for task in tasks.values()} == {("contradiction", "entailment", "neutral")}
    counts = {name: [len(tasks[name].examples(split)) for split in ("dev", "test")] for name in tasks}
    assert counts["americasnli-nah"] == [585, 738] and counts["en_wiki-sim_wiki"][1] == 229
    train = tasks["en_wiki-base_wiki"].examples("train")
    assert abs(len(train) - 0.9 * 2740) < 60 and len(train) + counts["en_wiki-base_wiki"][0] == 2740
    premises = {split: {x.texts[0] for x in tasks["en_wiki-base_wiki"].examples(split)} for split in ("train", "dev")}
    assert not premises["train"] & premises["dev"]
    blank = [x for x in tasks["americasnli-nah"].examples("test") if not x.texts[0].strip()]
    assert [x.label for x in blank] == ["entailment", "neutral", "contradiction"]
    for task in tasks.values():
        examples = task.examples("test")
        assert task.score([x.label for x in examples], examples) == {"Label-ACC": 1.0, "macro_f1": 1.0}


def test_every_treebank_is_read_as_it_is_and_their_parsers_share_a_head(data: Path) -> None:
    tasks = suite("treebank", data / "ud").tasks
    assert len(tasks) == 10 and {len(task.labels or ()) for task in tasks.values()} == {37}
    for folder in sorted((data / "ud").iterdir()):
        (file,) = folder.glob("*-ud-test.conllu")
        lines = file.read_text(encoding="utf-8").splitlines()
        examples = tasks[folder.name].examples("test")
        assert len(examples) == sum(line.startswith("1\t") for line in lines), folder.name
        assert sum(len(x.words) for x in examples) == sum(line.split("\t")[0].isdigit() for line in lines), folder.name
        gold = [tuple(zip(x.heads, x.relations, strict=True)) for x in examples]
        assert set(tasks[folder.name].score(gold, examples).values()) == {1.0}, folder.name


def test_a_treebank_is_learned(data: Path, tmp_path: Path) -> None:
    losses, result = outcome(tmp_path, "suite=treebank", f"tasks.path={data / 'ud' / 'UD_Wolof-WTB'}")
    scores = result["tasks"]["UD_Wolof-WTB"]
    assert losses[-1] < 0.9 * losses[0] and scores["uas"] > 0.1 and scores["las"] > 0.05


def test_broken_copies_of_native_files_are_refused_with_file_and_line(data: Path, tmp_path: Path) -> None:
    copies = (
        ("conll", "ner/en_wikigold/dev.txt", 40, " ", "  \n", "expected a word"),
        ("conll", "ner/masakhaner/hau/dev.txt", 3, " O", " 0", "no tag of an entity"),
        ("conll", "ner/en_sec_filings/test.txt", 5, " O", " ", "expected a word|no tag of an entity"),
        ("conll", "ud/UD_Wolof-WTB/wo_wtb-ud-dev.conllu", 4, "\t", " ", "expected 10 columns"),
        ("treebank", "ud/UD_Maltese-MUDT/mt_mudt-ud-dev.conllu", 5, "\t0\t", "\t99\t", "expected|head"),
        ("classification", "nli/americasnli/dev/aym.tsv", 7, "\t", " ", "expected 5 columns"),
        ("classification", "nli/en_wiki/base_wiki/test.jsonl", 9, '"label"', '"lable"', "no field is called"),
    )  # fmt: skip
    for number, (kind, name, line, old, new, message) in enumerate(copies):
        lines = (data / name).read_text(encoding="utf-8").splitlines(keepends=True)
        while old not in lines[line - 1]:
            line += 1
        lines[line - 1] = lines[line - 1].replace(old, new)
        file = tmp_path / str(number) / "test" / Path(name).name.replace("dev", "x").replace("test", "x")
        file.parent.mkdir(parents=True)
        file.write_text("".join(lines), encoding="utf-8")
        with pytest.raises(InputError, match=rf"{file.name}:{line}: .*({message})"):
            suite(kind, tmp_path / str(number))
