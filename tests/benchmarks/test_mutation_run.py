"""A mutation run finds the tests that reach a mutant, and says which of them fails."""

from pathlib import Path
from textwrap import dedent

import pytest

pytest.importorskip("coverage", reason="the extra [dev] brings coverage")

from benchmarks.mutation.__main__ import judge
from benchmarks.mutation.mutants import mutants
from benchmarks.mutation.reach import measure
from benchmarks.mutation.runs import Pytest
from benchmarks.mutation.trees import Tree

TOY = {
    "setup.cfg": "[options]\npackage_dir =\n    toy = source/toy\n[tool:pytest]\ntestpaths = tests\n",
    "source/toy/__init__.py": "",
    "source/toy/sums.py": '''
        def total(values):
            result = 0
            for value in values:
                result = result + value
            return result

        def unused(value):
            return value - 1
    ''',
    "tests/test_sums.py": '''
        import subprocess, sys
        from toy.sums import total

        def test_of_two():
            assert total([1, 2]) == 3

        def test_of_none():
            assert total([]) is not None

        def test_in_a_process_of_its_own():
            subprocess.run([sys.executable, "-c", "from toy.sums import total; assert total([0]) == 0"], check=True)

        def test_that_fails():
            assert total([1]) == 2
    ''',
}  # fmt: skip


@pytest.mark.processes
def test_a_run_on_a_toy_library_tells_who_kills_whom(tmp_path: Path, root: Path) -> None:
    for name, content in TOY.items():
        (tmp_path / "toy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "toy" / name).write_text(dedent(content), encoding="utf-8")
    (tmp_path / "toy" / "benchmarks").symlink_to(root / "benchmarks")
    tree, runner = Tree.copy(tmp_path / "toy", tmp_path / "copy"), Pytest()
    reach = measure(tree, runner, workers=1)
    assert reach.failing == ["tests/test_sums.py::test_that_fails"]
    source = (tree.root / "source/toy/sums.py").read_text(encoding="utf-8")
    candidates = {(m.before, m.after): m for m in mutants(source, "source/toy/sums.py")}

    def outcome(before: str, after: str) -> tuple[str, str]:
        result = judge(candidates[before, after], tree, reach, runner)
        return result["status"], result["by"].rpartition("::")[2]

    assert outcome("result + value", "result - value") == ("killed", "test_of_two")
    assert outcome("0", "1") == ("killed", "test_of_two")
    assert outcome("value - 1", "value + 1") == ("survived", "no test reaches it")
    assert (tree.root / "source/toy/sums.py").read_text(encoding="utf-8") == source
    loop = reach.lines["source/toy/sums.py"][5]
    assert [test.rpartition("::")[2] for test in loop] == ["test_in_a_process_of_its_own", "test_of_two"]
