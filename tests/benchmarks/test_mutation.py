"""The mutation run changes what a programmer could get wrong, and nothing else."""

from pathlib import Path
from textwrap import dedent

from benchmarks.mutation.mutants import draw, mutants


def changes(source: str, operator: str) -> list[str]:
    """Each mutant of `source` by an operator, as `before => after`."""
    return [
        f"{mutant.before} => {mutant.after}"
        for mutant in mutants(dedent(source), "x.py")
        if mutant.operator == operator
    ]


CASES = [
    ("comparison", "a < b", ["a < b => a <= b"]),
    ("comparison", "a == b is c", ["a == b is c => a != b is c", "a == b is c => a == b is not c"]),
    ("comparison", "a not in b", ["a not in b => a in b"]),
    ("arithmetic", "a + b * c", ["a + b * c => a - b * c", "b * c => b / c"]),
    ("arithmetic", "-a // b", ["-a => a", "-a // b => -a * b"]),
    ("arithmetic", "a -= b", ["a -= b => a += b"]),
    ("arithmetic", "a + 'text' + b", []),
    ("logic", "a and b or c", ["a and b => a or b", "a and b or c => (a and b) and c"]),
    ("constant", "x[1:]", ["1 => 0", "1 => 2"]),
    ("constant", "f(0, 0.5, 0.0, keepdim=True)", ["0 => 1", "0.5 => 1.0", "0.0 => 1.0", "True => False"]),
    ("constant", "f'{x + 1}', 'text', None", []),
    ("condition", "if a: b", ["a => not (a)"]),
    ("condition", "[a for a in b if a if c]", ["a => not (a)", "c => not (c)"]),
    ("condition", "a if b else c", ["b => not (b)"]),
    ("arguments", "f(a, b, b, *c, k=d)", ["f(a, b, b, *c, k=d) => f(b, a, b, *c, k=d)"]),
    ("arguments", "max(a, b)", []),
    ("default", "def f(a, b=2, *, c=True): pass", ["2 => 1", "2 => 3", "True => False"]),
    ("default", "class A:\n    rank: int = Field(8)", ["8 => 7", "8 => 9"]),
    ("result", "def f(): return a", ["a => None"]),
    ("result", "def f() -> bool: return a", ["a => False", "a => True"]),
    ("result", "def f() -> list[int]:\n    def g() -> dict: return b\n    return a", ["b => {}", "a => []"]),
    ("statement", "def f():\n    g()\n    return", ["g() => pass", "return => pass"]),
    ("statement", "def f(a):\n    a.x = b\n    c = d\n    c = a", ["a.x = b => pass", "c = a => pass"]),
    ("statement", "def f():\n    raise E(1)", ["raise E(1) => pass"]),
    ("statement", "g()", []),]  # fmt: skip


def test_each_operator_changes_what_it_should() -> None:
    wrong = {
        f"{operator}: {source}": results
        for operator, source, expected in CASES
        if sorted(results := changes(source, operator)) != sorted(expected)
    }
    assert not wrong


def test_what_cannot_fail_a_test_is_left_alone() -> None:
    source = '''
        """Text, 1 + 1."""
        import a
        __all__ = ["a"] + [1]
        if TYPE_CHECKING:
            import b; n = 2
        class P(Protocol):
            def f(self, a: int = 1) -> int: ...
        @cache(1)
        def f(a: "X | 3", b: Literal[1]) -> Literal[2]:
            """More text, 1 < 2."""
            assert a < 1
            x: Literal[4]
            for _ in zip(a, a, strict=True):
                raise ValueError(1 + 1)
    '''
    assert [(mutant.operator, mutant.before) for mutant in mutants(dedent(source), "x.py")] == [
        ("statement", "raise ValueError(1 + 1)")
    ]


def test_a_mutant_changes_its_piece_and_keeps_precedence() -> None:
    source = "µ = 'ß'; y = (a + b) * c - d\n"
    (difference,) = [mutant for mutant in mutants(source, "x.py") if mutant.before.endswith("- d")]
    assert difference.apply(source) == "µ = 'ß'; y = ((a + b) * c + d)\n"


def test_every_mutant_is_python(root: Path) -> None:
    broken, total = [], 0
    for file in sorted((root / "benchmarks" / "mutation").glob("*.py")):
        source = file.read_text(encoding="utf-8")
        for mutant in mutants(source, file.name):
            total += 1
            try:
                compile(mutant.apply(source), file.name, "exec", dont_inherit=True)
            except SyntaxError as error:
                broken.append(f"{file.name}:{mutant.line} {mutant.before} => {mutant.after}: {error}")
    assert total > 300 and not broken, "\n".join(broken)


def test_a_statement_over_several_lines_is_judged_by_all_of_them() -> None:
    source = "def f(a):\n    if (a and\n            b):\n        return g(\n            1)\n"
    lines = {mutant.before: mutant.lines for mutant in mutants(source, "x.py")}
    assert lines["a and b"] == (2, 3)
    assert lines["1"] == (4, 5)


def test_what_runs_at_import_is_known() -> None:
    source = "A = 1\ndef f(a=2):\n    return 3\nclass B:\n    c: int = 4\n    def g(self):\n        return 5\n"
    at_import = {mutant.before: mutant.at_import for mutant in mutants(source, "x.py")}
    assert at_import == {"1": True, "2": True, "3": False, "4": True, "5": False}


def test_the_same_seed_draws_the_same_mutants_of_different_lines() -> None:
    candidates = mutants("\n".join(f"x = a + {number} * {number + 1}" for number in range(2, 42)), "x.py")
    first, again, other = (draw(candidates, 20, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len({mutant.line for mutant in first}) == 20
    assert len(draw(candidates, 99, 0)) == 40
