"""`polyray cluster-files` writes the files of jobs/cluster, into a new folder only."""

from pathlib import Path

import pytest

from polyray.cli.app import main


def code(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def test_all_files_are_written_and_a_folder_that_is_there_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine" / "cluster"
    assert code("cluster-files", str(out)) == 0
    assert capsys.readouterr().out.startswith(f"{out}: start with the page")
    sources = root / "jobs" / "cluster"
    assert {file.name: file.read_bytes() for file in out.iterdir()} == {
        file.name: file.read_bytes() for file in sources.iterdir()
    }
    (out / "aws.yaml").write_text("mine")
    assert code("cluster-files", str(out)) == 2
    assert capsys.readouterr().err == f"polyray: {out} is there already: name a new folder.\n"
    assert (out / "aws.yaml").read_text() == "mine"
