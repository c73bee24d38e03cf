"""Files in CoNLL columns, of all the shapes that are in use, become tagged sentences."""

import json
import pickle
from pathlib import Path

import pytest

from polyray.errors import InputError
from polyray.tasks import Suite, TaggedWords, TasksOptions, load_suite, read_all
from polyray.tasks.schemes import iob2
from polyray.training.data import unlearned

IOB2 = "Ada B-PER\nLovelace I-PER\nof O\nLondon B-LOC\n\nno O\n"
IOB1 = "-DOCSTART- -X- O O\n\nIBM NNP - I-ORG\nIBM NNP - B-ORG\nParis NNP - I-LOC\n-DOCSTART- -X- O O\nso RB - O\n"
UD = (
    "# sent_id = 1\n# text = Vamos\n1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_\n1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_\n"
    "2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_\n2.1\tya\tya\tADV\t_\t_\t_\t_\t_\t_\n\n"
    "1\t#hash tag\t_\tX\t_\t_\t0\troot\t_\t_\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "wiki/train.txt": IOB1, "wiki/dev.txt": IOB1, "wiki/test.txt": IOB1,
        "african/hau/train.conll": IOB2, "african/hau/dev.conll": IOB2, "african/hau/test.conll": IOB2,
        "UD_Toy/xx_toy-ud-train.conllu": UD, "UD_Toy/xx_toy-ud-dev.conllu": UD, "UD_Toy/xx_toy-ud-test.conllu": UD,
        "UD_Toy/README.txt": "nothing to read here", ".git/train.txt": "nor here",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def load(folder: Path, **fields: object) -> Suite:
    return load_suite(TasksOptions.model_validate({"kind": "conll", "path": str(folder), **fields}))


def tagged(text: str, task: str) -> TaggedWords:
    words, tags = zip(*(pair.rsplit("/", 1) for pair in text.split()), strict=True)
    return TaggedWords(task=task, words=words, tags=tags)


def test_every_folder_with_files_of_splits_is_a_task_named_after_its_path(folder: Path) -> None:
    suite = load(folder)
    assert {name: task.category for name, task in suite.tasks.items()} == {
        "UD_Toy": "tags", "african-hau": "entities/african", "wiki": "entities",
    }  # fmt: skip
    assert [task.metric for task in suite.tasks.values()] == ["Tag-ACC", "Entity-F1", "Entity-F1"]
    assert {task.objective for task in suite.tasks.values()} == {"tagging"}
    assert list(load(folder / "wiki").tasks) == ["wiki"]
    assert list(load(folder, include=["entities/*"]).tasks) == ["african-hau"]


def test_sentences_end_at_blank_lines_and_documents_and_entities_are_rewritten_in_iob2(folder: Path) -> None:
    suite = load(folder)
    assert suite.tasks["african-hau"].examples("train") == (
        tagged("Ada/B-PER Lovelace/I-PER of/O London/B-LOC", "african-hau"), tagged("no/O", "african-hau"),
    )  # fmt: skip
    assert suite.tasks["wiki"].examples("dev") == (
        tagged("IBM/B-ORG IBM/B-ORG Paris/B-LOC", "wiki"), tagged("so/O", "wiki"),
    )  # fmt: skip


def test_universal_dependencies_give_words_without_ranges_empty_nodes_and_comments(folder: Path) -> None:
    task = load(folder).tasks["UD_Toy"]
    first, second = task.examples("test")
    assert (first.words, first.tags) == (("Vamos", "nos"), ("VERB", "PRON"))
    assert (second.words, second.tags) == (("#hash tag",), ("X",))
    assert len(task.labels or ()) == 17 and {"PRON", "VERB", "X"} <= set(task.labels or ())
    relations = load(folder, include=["UD_Toy"], tag_column=7).tasks["UD_Toy"]
    assert relations.examples("test")[0].tags == ("root", "obj")


def test_columns_can_be_chosen(folder: Path) -> None:
    suite = load(folder, include=["wiki"], word_column=1, tag_column=0, scheme="plain")
    assert suite.tasks["wiki"].examples("train")[1] == tagged("RB/so", "wiki")


def test_labels_are_begin_and_inside_of_every_type_in_the_files(folder: Path) -> None:
    tasks = load(folder).tasks
    assert tasks["wiki"].labels == ("B-LOC", "B-ORG", "I-LOC", "I-ORG", "O")
    assert tasks["african-hau"].labels == ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def test_types_make_tasks_of_different_files_share_their_labels_and_others_are_outside(folder: Path) -> None:
    suite = load(folder, include=["wiki", "african-hau"], types=["LOC", "PER"])
    labels = {task.labels for task in suite.tasks.values()}
    assert labels == {("B-LOC", "B-PER", "I-LOC", "I-PER", "O")}
    assert suite.tasks["wiki"].examples("train")[0].tags == ("O", "O", "B-LOC")


@pytest.mark.parametrize(
    ("tags", "types", "rewritten"),
    [
        ("I-A I-A B-A O", "", "B-A I-A B-A O"),
        ("B-A I-B O I-A", "", "B-A B-B O B-A"),
        ("B-A I-A B-B I-B", "B", "O O B-B I-B"),
        ("B-A I-B I-B", "A", "B-A O O"),
        ("B-A I-A E-A S-A O S-B", "", "B-A I-A I-A B-A O B-B"),  # BIOES
        ("B-A L-A U-A U-B I-B", "", "B-A I-A B-A B-B B-B"),  # BILOU; an I- after a finished entity begins one
        ("E-A I-A", "", "B-A B-A"),
    ],
)
def test_tags_are_rewritten_entity_by_entity(tags: str, types: str, rewritten: str) -> None:
    assert iob2(tags.split(), types.split()) == tuple(rewritten.split())


def test_types_are_renamed_before_they_are_chosen(folder: Path) -> None:
    assert iob2(["B-DATE", "I-DATE", "B-PERSON", "I-PERSON"], ("PER",), {"DATE": "O", "PERSON": "PER"}) == (
        "O", "O", "B-PER", "I-PER",
    )  # fmt: skip
    task = load(folder, include=["wiki"], relabel={"ORG": "O", "LOC": "PLACE"}).tasks["wiki"]
    assert task.labels == ("B-PLACE", "I-PLACE", "O") and task.examples("dev")[0].tags == ("O", "O", "B-PLACE")
    nouns = load(folder, include=["UD_Toy"], relabel={"VERB": "X", "PRON": "X"}).tasks["UD_Toy"]
    assert {tag for example in nouns.examples("train") for tag in example.tags} == {"X"}


def test_parts_of_speech_of_all_treebanks_share_the_seventeen_tags_and_others_are_refused(folder: Path) -> None:
    file = folder / "UD_Toy" / "xx_toy-ud-train.conllu"
    file.write_text(UD.replace("VERB", "VERBE"), encoding="utf-8")
    with pytest.raises(InputError, match=r"ud-train\.conllu:4: 'VERBE' is not among the universal .* mean 'VERB'"):
        load(folder, include=["UD_Toy"])
    types = ("PRON", "VERB", "VERBE", "X")
    assert load(folder, include=["UD_Toy"], types=types).tasks["UD_Toy"].labels == types


def test_files_in_folders_of_splits_are_tasks_too(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "ner" / split / "west").mkdir(parents=True)
        for language in ("hau", "yor"):
            (tmp_path / "ner" / split / "west" / f"{language}.txt").write_text(f"{split} O\n" * 2)
    tasks = load(tmp_path).tasks
    assert list(tasks) == ["ner-west-hau", "ner-west-yor"]
    (tmp_path / "ner" / "validation").mkdir()
    (tmp_path / "ner" / "validation" / "hau.txt").write_text("valid O\n")
    (tmp_path / "ner" / "valid-x.txt").write_text("valid O\n")
    more = load(tmp_path).tasks
    assert [list(more[name].examples("dev")[0].words) for name in ("ner-hau", "ner")] == [["valid"], ["valid"]]
    assert tasks["ner-west-yor"].examples("test")[0].words == ("test", "test")


def test_labels_of_test_sentences_that_no_training_sentence_has_are_named_by_file_and_line(folder: Path) -> None:
    (folder / "wiki" / "test.txt").write_text("a O\nb O\n\nc B-MISC\nd I-MISC\ne B-MISC\n")
    (folder / "african" / "hau" / "train.conll").write_text(IOB2 + "\nx B-MISC\ny I-MISC\n")
    suite = load(folder, include=["entities*"], types=["LOC", "PER", "MISC"])
    note = unlearned(suite, ["wiki"], ("train", "dev"), ["wiki"])
    assert note.startswith(f"'B-MISC' of 'wiki' ({folder / 'wiki' / 'test.txt'}:4), 'I-MISC' of 'wiki' (")
    assert "test.txt:5): no training example has them" in note and "tasks.relabel" in note
    (folder / "wiki" / "test.txt").write_text("".join(f"w B-{n}\n\n" for n in range(7)))
    many = unlearned(load(folder), ["african-hau"], ("train",), ["wiki"])
    assert many.count(" of 'wiki' (") == 5 and "and 2 more labels: no training" in many
    (folder / "wiki" / "test.txt").write_text("a O\nb O\n\nc B-MISC\nd I-MISC\ne B-MISC\n")
    both = ["wiki", "african-hau"]  # which share a head
    assert unlearned(suite, both, ("train",), both) == "" != unlearned(suite, both, ("dev",), both)
    assert unlearned(load(folder), both, ("train",), ["wiki"]).startswith("'B-MISC' of 'wiki'")  # which do not


def test_splits_without_a_file_are_taken_from_every_ten_training_sentences(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "train.txt").write_text("".join(f"w{n} O\n\n" for n in range(20)))

    def words(split: str) -> list[str]:
        return [example.words[0] for example in load(tmp_path).tasks["one"].examples(split)]

    assert (words("dev"), words("test")) == (["w8", "w18"], ["w9", "w19"])
    assert words("train") == [f"w{n}" for n in range(20) if n % 10 not in (8, 9)]
    (tmp_path / "one" / "test.txt").write_text("t O\n")
    assert (words("dev"), words("test")) == (["w8", "w18"], ["t"])
    assert words("train") == [f"w{n}" for n in range(20) if n % 10 != 8]


def test_a_task_of_test_sentences_alone_has_no_other_split(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "test.txt").write_text("t O\n")
    task = load(tmp_path).tasks["one"]
    assert len(task.examples("test")) == 1
    for split in ("train", "dev"):
        with pytest.raises(InputError, match=f"The task 'one' has no {split} file"):
            task.examples(split)


def test_a_partition_beside_the_tasks_divides_them(folder: Path) -> None:
    (folder / "partition.json").write_text(json.dumps({"train": ["wiki"], "test": ["african-hau"]}))
    assert load(folder).partition == {"train": ("wiki",), "dev": (), "test": ("african-hau",)}


def test_a_suite_travels_to_another_process_and_examples_stand_for_themselves(folder: Path) -> None:
    suite = load(folder)
    assert read_all(pickle.loads(pickle.dumps(suite))) == read_all(suite)
    example = suite.tasks["african-hau"].examples("test")[0]
    assert example.line == "Ada Lovelace of London\tB-PER I-PER O B-LOC"
    assert example.record() == {
        "words": ["Ada", "Lovelace", "of", "London"], "tags": ["B-PER", "I-PER", "O", "B-LOC"],
    }  # fmt: skip
    assert hash(example) == hash(suite.tasks["african-hau"].examples("dev")[0])


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        (
            "Ada B-PER\nLovelace\n",
            {},
            r"train\.txt:2: expected a word in column 0 and a tag in column -1, found 1 column",
        ),
        ("Ada B-PER\n", {"tag_column": 2}, r"train\.txt:1: .* tag in column 2, found 2 columns: 'Ada B-PER'"),
        ("Ada\t\n", {}, r"train\.txt:1: expected a word"),
        ("Ada B-PER\nof 0\n", {}, r"train\.txt:2: '0' is no tag of an entity; expected O, B-TYPE or I-TYPE"),
        ("Ada B-\n", {}, r"train\.txt:1: 'B-' is no tag of an entity"),
        (
            "Ada N\n",
            {"scheme": "plain", "types": ["V", "X"]},
            r"train\.txt:1: 'N' is not among tasks\.types\. Known: V, X",
        ),
        ("\n\n", {}, r"train\.txt is empty"),
        ("-DOCSTART- O\n", {}, r"train\.txt holds no sentence"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(
    tmp_path: Path, content: str, fields: dict[str, object], message: str
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "train.txt").write_text(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path, **fields)


def test_a_folder_without_tasks_and_a_split_with_two_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(InputError, match="holds no tagging task; expected files such as TASK/train"):
        load(tmp_path)
    for name in ("train.txt", "en-train.conll"):
        (tmp_path / "one" / name).write_text("a O\n")
    with pytest.raises(InputError, match="The train split of the task 'one' is there twice"):
        load(tmp_path)
