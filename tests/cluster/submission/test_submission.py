"""A job for a cluster: the files that travel, their names there, the driver's command and its environment."""

import io
import os
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import get_args

import pytest
from gathering import for_cases

from polyray.cluster.submission import archive, package
from polyray.cluster.submission.command import Command, run_command
from polyray.cluster.submission.driver import CONFIG, check_same_version
from polyray.cluster.submission.local_files import local_files
from polyray.cluster.submission.submission import (
    Environment,
    Submission,
    folder_on_cluster,
    labels,
    named_variables,
    stop_wait,
)
from polyray.config import Choice, Section, field_names, file_fields, load_config
from polyray.config.section import sections
from polyray.errors import InputError
from polyray.jobs.table import JOBS

NOT_READ = ("tracking.", "tasks.types")  # what is written, and a field that speaks of other files


def test_the_package_travels_as_one_folder_whatever_way_it_is_installed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = {"polyray": root / "platform" / "polyray"}
    tree |= {f"polyray/{name}": root / name for name in ("jobs", "envs", "tune_spaces")}
    modules = {
        f"{name}/{file.relative_to(folder)}" for name, folder in tree.items() for file in folder.rglob("*.py")
    }  # fmt: skip
    files = package.package_files()
    assert modules | {"polyray/py.typed"} <= files.keys()
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in files)
    packed = archive.packed(files)
    with zipfile.ZipFile(io.BytesIO(packed)) as whole:
        whole.extractall(tmp_path)

    def installed(name: str) -> ModuleSpec:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path / name.replace(".", "/"))]
        return spec

    monkeypatch.setattr(package, "find_spec", installed)
    assert archive.packed(package.package_files()) == packed


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with data in it and beside it."""
    folder = tmp_path / "here"
    for name in ("here/data/a.jsonl", "here/data/deep/b.jsonl", "here/my.yaml", "beside/c.jsonl", "here/data/.git/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(folder)
    return folder


def test_files_below_the_current_folder_keep_their_names_and_others_get_new_ones(here: Path) -> None:
    (here / "data" / "loop").symlink_to(here / "data")
    (here / "linked").symlink_to(here.parent / "beside")
    outside = f"outside{here.parent}/beside"
    files = local_files(
        ["./data/", "my.yaml", "../beside", str(here.parent / "beside"), "linked", "nowhere", "s3://a/b"]
    )
    assert files.files == {
        "data/a.jsonl": Path("data/a.jsonl"), "data/deep/b.jsonl": Path("data/deep/b.jsonl"),
        "my.yaml": Path("my.yaml"), "linked/c.jsonl": Path("linked/c.jsonl"),
        f"{outside}/c.jsonl": here.parent / "beside" / "c.jsonl",
    }  # fmt: skip
    assert files.renamed == {"../beside": outside, str(here.parent / "beside"): outside}
    assert local_files(["data", str(here.parent / "beside")], [here.parent]).files == {}
    assert set(local_files(["data", "../beside"], [here.parent / "beside"]).files) == {
        "data/a.jsonl",
        "data/deep/b.jsonl",
    }


def test_the_same_files_give_the_same_archive(here: Path) -> None:
    before = local_files(["data"]).packed(2**20)
    os.utime(here / "data" / "a.jsonl", (0, 0))
    assert local_files(["data"]).packed(2**20) == before
    (here / "data" / "a.jsonl").write_text("other")
    assert local_files(["data"]).packed(2**20) != before


def test_more_than_the_limit_is_refused_with_the_five_largest_files(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        (here / "data" / f"{number}.bin").write_bytes(os.urandom(1024 * (100 + number)))
    files = local_files(["data"])
    with pytest.raises(InputError) as caught:
        files.packed(700 * 1024)
    text = str(caught.value)
    assert "\n" not in text and "are 0.7 MiB, and --upload-limit is 0.7 MiB" in text and "--shared FOLDER" in text
    assert [name for name in ("6", "5", "4", "3", "2", "1", "0") if f"data/{name}.bin (0.1 MiB)" in text] == list(
        "65432"
    )
    assert files.packed(2**20)
    monkeypatch.setattr("polyray.cluster.submission.local_files.RAY_LIMIT", 600 * 1024)
    with pytest.raises(InputError, match=r"as an archive, and Ray takes 0\.6 MiB at most"):
        files.packed(2**20)


def test_what_is_no_file_is_refused_without_waiting_for_it(here: Path) -> None:
    os.mkfifo(here / "data" / "pipe")
    with pytest.raises(InputError, match="data/pipe is no regular file"):
        local_files(["data"])


def text_fields(kind: type[Section], prefix: str = "") -> dict[str, tuple[str, bool]]:
    """Documentation of every field of texts, and whether it is among `files`; of a choice for all its entries."""
    fields: dict[str, tuple[str, bool]] = {}
    inner = dict(sections(kind))
    for name, field in kind.model_fields.items():
        if name in inner:
            fields |= text_fields(inner[name], f"{prefix}{name}.")
        elif str in (field.annotation, *get_args(field.annotation)) and name != "kind":
            fields[prefix + name] = (field.description or "", name in kind.files)
    if issubclass(kind, Choice):
        for entry in kind.table.values():
            fields |= text_fields(entry.Options, prefix)
    return fields


def test_every_field_of_a_job_that_names_a_file_says_so() -> None:
    wrong, n_files = [], 0
    for name, job in JOBS.items():
        for field, (about, is_file) in text_fields(job.Config).items():
            named = any(word in about.lower() for word in ("folder", "file ", "file;"))
            n_files += is_file
            if is_file != (named and not field.startswith(NOT_READ)):
                wrong.append(f"{name}: {field} ({about})")
    assert not wrong, "\n".join(wrong)
    assert n_files > 10


def test_paths_of_a_config_are_found_in_choices_and_in_tasks_by_name() -> None:
    hub = "tasks.hub={a: {path: csv, data_files: {train: x.csv}, input: q, output: r}}"
    config = load_config(JOBS["polytropon"].Config, overrides=["suite=hub", hub, "tasks.path=d", "backbone=gpt2"])
    assert file_fields(config) == {
        "tasks.path": "d", "tasks.hub.a.path": "csv", "tasks.hub.a.data_files.train": "x.csv", "backbone": "gpt2",
    }  # fmt: skip
    assert set(file_fields(config)) - set(field_names(type(config))) == {
        "tasks.hub.a.path", "tasks.hub.a.data_files.train",
    }  # fmt: skip


def test_paths_in_lists_are_found_and_renamed(here: Path) -> None:
    parts = "parts=[{model: ../beside, weight: 2}, {model: data, fisher: ../beside/c.jsonl}]"
    command = run_command("merge", JOBS["merge"], ["base=data", parts], None)
    assert command.fields == {
        "base": "data", "parts[0].model": "../beside", "parts[1].model": "data", "parts[1].fisher": "../beside/c.jsonl",
    }  # fmt: skip
    (job, _, base, lists) = command.arguments(command.files([]))
    outside = f"outside{here.parent}/beside"
    again = load_config(JOBS["merge"].Config, overrides=[base, lists])
    assert (job, base) == ("run", "base=data")
    assert [(x["model"], x["weight"], x["fisher"]) for x in again.model_dump()["parts"]] == [
        (outside, 2.0, ""), ("data", 1.0, f"{outside}/c.jsonl"),
    ]  # fmt: skip
    sources = "sources={swa: [../beside, data]}"
    words = run_command("ltsft", JOBS["ltsft"], ["base=[data]", sources], None)
    assert words.fields["base[0]"] == "data" and words.fields["sources.swa[0]"] == "../beside"
    renamed_words = words.arguments(words.files([]))
    assert "base=[data]" in renamed_words and f'sources.swa=["{outside}", "data"]' in renamed_words


def test_words_of_a_command_name_files_as_the_cluster_does(here: Path) -> None:
    words = ["suite=jsonl", "tasks.path=../beside", "backbone=data", "training.steps=3"]
    command = run_command("polytropon", JOBS["polytropon"], words, None)
    files = command.files([])
    outside = f"outside{here.parent}/beside"
    assert command.arguments(files) == [
        "run", "polytropon", "suite=jsonl", "backbone=data", "training.steps=3", f"tasks.path={outside}",
    ]  # fmt: skip
    assert set(files.files) == {f"{outside}/c.jsonl", "data/a.jsonl", "data/deep/b.jsonl"}
    sweep = Command(kind="sweep", job="x", space="../s.yaml", config=here / "my.yaml", fields={})
    (here.parent / "s.yaml").touch()
    assert sweep.arguments(sweep.files([])) == [
        "sweep", "x", f"outside{here.parent}/s.yaml", "--config", f"outside{here}/my.yaml",
    ]  # fmt: skip
    skilled = Command(kind="run", job="x", fields={"skills": "data"}, backbone=str(here.parent / "beside"))
    with pytest.raises(InputError, match="--shared"):
        skilled.files([])
    assert set(skilled.files([here.parent / "beside"]).files) == {"data/a.jsonl", "data/deep/b.jsonl"}


def test_the_driver_runs_the_same_command_and_gets_the_signal_itself() -> None:
    environment = Environment(python="/opt/my python")
    submission = Submission(
        id="a", kind="run", job="x", arguments=["run", "x", "tasks.include=[a, b]"], out="~/my runs/$x", cpus=2,
        environment=environment, labels={"team": "nlp"},
    )  # fmt: skip
    words = "'/opt/my python' -m polyray run x 'tasks.include=[a, b]' --out ~/'my runs/$x'"
    assert submission.entrypoint == f"exec {words}"
    assert submission.demand == {"CPU": 2} and submission.metadata["team"] == "nlp"
    assert set(submission.metadata) == {"team", "polyray", "kind", "job", "out", "python"}


@for_cases(
    [
        {"out": None, "folder": "~/runs/name"},
        {"out": "runs/x", "folder": "~/runs/x"},
        {"out": "./runs/../x", "folder": "~/x"},
        {"out": "/shared/x", "folder": "/shared/x"},
        {"out": "~/x", "folder": "~/x"},
        {"out": "s3://bucket/x", "folder": "s3://bucket/x"},
    ]
)
def test_a_folder_that_is_not_named_wholly_lies_below_the_home_of_the_driver(out: str | None, folder: str) -> None:
    assert folder_on_cluster(out, "name") == folder


def test_options_that_cannot_be_are_refused() -> None:
    for action, words in (
        (lambda: folder_on_cluster("../x", "name"), "--out ../x"),
        (lambda: named_variables(["NONE"], {}), "--env NONE: no such variable is set here"),
        (lambda: named_variables(["A=b"], {"A": "c"}), "--env takes names"),
        (lambda: named_variables(["RAY_ADDRESS"], {"RAY_ADDRESS": "x"}), "Leave it out"),
        (lambda: labels(["team"]), "KEY=VALUE"),
        (lambda: labels(["out=x"]), "Polyray's own"),
        (lambda: stop_wait({"POLYRAY_GRACE": "soon"}), "no number of seconds"),
    ):
        with pytest.raises(InputError) as caught:
            action()
        assert words in str(caught.value)
    assert named_variables(["A"], {"A": "b", "SECRET": "c"}) == {"A": "b"}
    assert labels(["team=a=b"]) == {"team": "a=b"}
    assert (stop_wait({}), stop_wait({"POLYRAY_GRACE": "59.5"})) == (30, 65)


def test_a_driver_of_another_version_ends_with_one_line() -> None:
    check_same_version({})
    with pytest.raises(InputError, match=r"Polyray 99\.0 submitted this job, .* Submit without --image"):
        check_same_version({CONFIG: '{"metadata": {"polyray": "99.0"}}'})
    check_same_version({CONFIG: '{"metadata": {"job_name": "of somebody else"}}'})
