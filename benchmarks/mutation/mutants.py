"""Mutants of a source file: where an operator may change it, and the changed source."""

import ast
import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.mutation.operators import FUNCTION_OPERATORS, NODE_OPERATORS, Change

Function = ast.FunctionDef | ast.AsyncFunctionDef
NEVER_CHANGED = (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Assert, ast.JoinedStr)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One changed piece of a file.

    path: the file, from the root of the repository. lines: first and last line of the statement, or of the head of a
    compound one. at_import: whether the piece runs when its module is imported. start, end: the piece in UTF-8 bytes.
    """

    path: str
    line: int
    lines: tuple[int, int]
    at_import: bool
    operator: str
    start: int
    end: int
    before: str
    after: str
    written: str

    @property
    def key(self) -> str:
        """A name that is the same for the same change at the same position."""
        text = f"{self.path} {self.start} {self.end} {self.written}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def apply(self, source: str) -> str:
        """The source of the file with this change."""
        content = source.encode()
        return (content[: self.start] + self.written.encode() + content[self.end :]).decode()


class Position(NamedTuple):
    """Place of a syntax node: the lines of its statement, whether it runs at import, whether it is a default."""

    lines: tuple[int, int]
    at_import: bool = True
    is_default: bool = False


def mutants(source: str, path: str) -> list[Mutant]:
    """All mutants of a file, in the order of its lines."""
    content = source.encode()
    starts = [0]
    for line in content.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    positions = dict(_positions(ast.parse(source), Position(lines=(1, 1))))
    file_mutants = []
    for operator, (target, text) in _changes(positions):
        if target not in positions or not isinstance(target, ast.expr | ast.stmt):
            continue
        start = starts[target.lineno - 1] + target.col_offset
        end = starts[(target.end_lineno or target.lineno) - 1] + (target.end_col_offset or 0)
        position, before = positions[target], content[start:end].decode()
        is_plain = isinstance(target, ast.stmt) or text.isidentifier()
        if text != before:
            file_mutants.append(Mutant(
                path=path, line=target.lineno, lines=position.lines, at_import=position.at_import, operator=operator,
                start=start, end=end, before=" ".join(before.split()), after=" ".join(text.split()),
                written=text if is_plain else f"({text})",
            ))  # fmt: skip
    return sorted(file_mutants, key=lambda mutant: (mutant.start, mutant.end, mutant.operator, mutant.after))


def draw(candidates: Iterable[Mutant], n: int, seed: int) -> list[Mutant]:
    """`n` mutants of `n` different lines (fewer, where there are fewer lines), one at random of each line."""
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for mutant in candidates:
        by_line.setdefault((mutant.path, mutant.line), []).append(mutant)
    choice = random.Random(seed)
    lines = choice.sample(sorted(by_line), min(n, len(by_line)))
    return [choice.choice(by_line[line]) for line in lines]


def _changes(positions: dict[ast.AST, Position]) -> Iterator[tuple[str, Change]]:
    for node, position in positions.items():
        for name, changes in NODE_OPERATORS.items():
            yield from (("default" if position.is_default else name, change) for change in changes(node))
        if isinstance(node, Function):
            for name, function_changes in FUNCTION_OPERATORS.items():
                yield from ((name, change) for change in function_changes(node))


def _positions(node: ast.AST, position: Position) -> Iterator[tuple[ast.AST, Position]]:
    """The nodes that may be changed."""
    if isinstance(node, NEVER_CHANGED) or _is_idle(node):
        return
    if isinstance(node, ast.stmt):
        position = position._replace(lines=_lines(node))
    yield node, position
    for child, child_position in _children(node, position):
        yield from _positions(child, child_position)


def _children(node: ast.AST, position: Position) -> Iterator[tuple[ast.AST, Position]]:
    """The nodes in `node`, without annotations, decorators and the texts of errors and warnings."""
    if isinstance(node, Function | ast.Lambda):
        defaults = [default for default in [*node.args.defaults, *node.args.kw_defaults] if default is not None]
        yield from ((default, position._replace(is_default=True)) for default in defaults)
        inner = position._replace(at_import=False, is_default=False)
        body: Sequence[ast.AST] = node.body if isinstance(node.body, list) else [node.body]
        yield from ((child, inner) for child in body)
    elif isinstance(node, ast.ClassDef):
        for child in node.body:
            yield child, position._replace(is_default=isinstance(child, ast.AnnAssign))
    elif isinstance(node, ast.AnnAssign):
        yield from ((child, position) for child in [node.value] if child is not None)
    elif isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if not name.endswith(("Error", "warn")):
            keywords = [keyword for keyword in node.keywords if not (name == "zip" and keyword.arg == "strict")]
            yield from ((child, position) for child in [node.func, *node.args, *keywords])
    elif not isinstance(node, ast.Raise):
        yield from ((child, position) for child in ast.iter_child_nodes(node))


def _is_idle(node: ast.AST) -> bool:
    """Docstrings, `__all__`, protocols, and blocks for type checkers or scripts."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)
    return isinstance(node, ast.ClassDef) and any(ast.unparse(base).startswith("Protocol") for base in node.bases)


def _lines(statement: ast.stmt) -> tuple[int, int]:
    body: Sequence[ast.AST] = getattr(statement, "body", None) or getattr(statement, "cases", None) or []
    if body and isinstance(body[0], ast.stmt):
        return statement.lineno, max(statement.lineno, body[0].lineno - 1)
    return statement.lineno, statement.end_lineno or statement.lineno
