"""Which tests reach which lines of the library, how long each test takes, and so which tests judge a mutant."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.mutation import tracing
from benchmarks.mutation.mutants import Mutant
from benchmarks.mutation.runs import FAILURES, SUCCESS, Pytest
from benchmarks.mutation.trees import Tree


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The tests of a tree.

    fingerprint: of the tree. seconds: of each test that passes. failing: tests that fail without any change; they judge
    nothing. lines: for each file the tests that run each line; "" stands for a line that is run by imports.
    """

    fingerprint: str
    seconds: Mapping[str, float]
    failing: Sequence[str]
    lines: Mapping[str, Mapping[int, Sequence[str]]]

    def judges(self, mutant: Mutant) -> list[str]:
        """Tests that may notice a mutant, those that reach it first, and fast ones first among them.

        The other tests of the same files come last: they may use what a test before them has computed. A line that is
        run by imports is judged by all tests. Empty where no test reaches the mutant.
        """
        lines = self.lines.get(mutant.path, {})
        first, last = mutant.lines
        reached = {test for line in range(first, last + 1) for test in lines.get(line, ())}
        everywhere = mutant.at_import or "" in reached
        if everywhere:
            reached = {test for tests in lines.values() for test in tests}
        files = {test.partition("::")[0] for test in reached - {""}}
        judges = [test for test in self.seconds if everywhere or test.partition("::")[0] in files]
        return sorted(judges, key=lambda test: (test not in reached, self.seconds[test], test))

    def write(self, file: Path) -> None:
        """Write to a file, for `read`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> "Reach":
        """Contents of the file that `write` wrote."""
        fields = json.loads(file.read_text(encoding="utf-8"))
        lines = {
            path: {int(line): tests for line, tests in by_line.items()} for path, by_line in fields.pop("lines").items()
        }
        return cls(lines=lines, **fields)


def measure(tree: Tree, pytest: Pytest, workers: int) -> Reach:
    """Run all default tests of a tree twice: traced, `workers` at once, and then untraced, one after the other.

    Raises:
        RuntimeError: the tests do not run at all.
    """
    folder = tree.root / "build" / "trace"
    (folder / "hook").mkdir(parents=True)
    (folder / "hook" / "sitecustomize.py").write_text(tracing.HOOK, encoding="utf-8")
    patterns = [f"{package}/*" for package in tree.packages().values()]
    variables = tracing.settings(folder / "data", patterns)
    options = ("--continue-on-collection-errors", "-n", str(workers))
    traced = pytest.run(tree, *options, before=[folder / "hook"], variables=variables)
    passed = traced.seconds.keys() - traced.failed
    plain = pytest.run(tree, order=sorted(passed, key=lambda test: (traced.seconds[test], test)))
    for outcome in (traced, plain):
        if outcome.code not in (SUCCESS, FAILURES) or not outcome.seconds:
            raise RuntimeError(f"The tests do not run:\n{outcome.output[-3000:]}")
    failing = {*traced.failed, *plain.failed}
    lines = {
        str(Path(file).relative_to(tree.root)): {line: sorted(tests - failing) for line, tests in by_line.items()}
        for file, by_line in tracing.read(folder / "data").items()
    }
    seconds = {test: seconds for test, seconds in plain.seconds.items() if test not in failing}
    return Reach(fingerprint=tree.fingerprint(), seconds=seconds, failing=sorted(failing), lines=lines)
