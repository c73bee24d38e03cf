"""Mutation operators: small changes of one syntax node, each a mistake that a programmer could make."""

import ast
import copy
from collections.abc import Callable, Iterator

Change = tuple[ast.AST, str]  # the node that is replaced, and the source that replaces it

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
}  # fmt: skip
RESULTS = {
    "bool": ("True", "False"),
    "int": ("0",),
    "float": ("0.0",),
    "str": ("''",),
    "list": ("[]",),
    "dict": ("{}",),
}
SYMMETRIC = {"isinstance", "issubclass", "cast", "max", "min"}  # swapped arguments change nothing, or only types
SEQUENCES = (ast.JoinedStr, ast.List, ast.ListComp, ast.Tuple)


def comparisons(node: ast.AST) -> Iterator[Change]:
    """`<` as `<=`, `==` as `!=`, `in` as `not in`."""
    if isinstance(node, ast.Compare):
        for index, comparison in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[index] = COMPARISONS[type(comparison)]()
            yield node, ast.unparse(changed)


def arithmetic(node: ast.AST) -> Iterator[Change]:
    """`+` as `-`, `*` as `/`, a sign or a negation left out."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        operands = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
        if not any(_is_sequence(operand) for operand in operands):
            changed = copy.deepcopy(node)
            changed.op = ARITHMETIC[type(node.op)]()
            yield node, ast.unparse(changed)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield node, ast.unparse(node.operand)


def logic(node: ast.AST) -> Iterator[Change]:
    """`and` as `or`."""
    if isinstance(node, ast.BoolOp):
        changed = copy.deepcopy(node)
        changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, ast.unparse(changed)


def constants(node: ast.AST) -> Iterator[Change]:
    """A whole number off by one, a real number doubled, True as False."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield node, str(not node.value)
        elif isinstance(node.value, int):
            yield node, str(node.value + 1)
            if node.value:
                yield node, str(node.value - 1)
        elif isinstance(node.value, float):
            yield node, repr(2 * node.value if node.value else 1.0)


def conditions(node: ast.AST) -> Iterator[Change]:
    """The opposite of a condition."""
    tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp) else []
    for test in [*tests, *(node.ifs if isinstance(node, ast.comprehension) else [])]:
        yield test, f"not ({ast.unparse(test)})"


def arguments(node: ast.AST) -> Iterator[Change]:
    """Two neighbouring positional arguments swapped."""
    if not isinstance(node, ast.Call) or (isinstance(node.func, ast.Name) and node.func.id in SYMMETRIC):
        return
    for index, pair in enumerate(zip(node.args, node.args[1:], strict=False)):
        texts = [ast.unparse(argument) for argument in pair]
        if texts[0] != texts[1] and not any(isinstance(argument, ast.Starred) for argument in pair):
            changed = copy.deepcopy(node)
            changed.args[index], changed.args[index + 1] = changed.args[index + 1], changed.args[index]
            yield node, ast.unparse(changed)


def results(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Change]:
    """A constant instead of what a function returns."""
    name = ast.unparse(function.returns).partition("[")[0] if function.returns else ""
    for node in _nodes_of(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield from ((node.value, text) for text in RESULTS.get(name, ("None",)) if ast.unparse(node.value) != text)


def statements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Change]:
    """A statement left out: a call, an early end, an error, or an assignment to something that has a value already."""
    bound = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
    nodes = [node for node in _nodes_of(function) if isinstance(node, ast.stmt | ast.expr)]
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset)):
        if isinstance(node, ast.Assign):
            names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            if names <= bound:
                yield node, "pass"
        elif _is_dispensable(node):
            yield node, "pass"
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)


NODE_OPERATORS: dict[str, Callable[[ast.AST], Iterator[Change]]] = {
    "comparison": comparisons,
    "arithmetic": arithmetic,
    "logic": logic,
    "constant": constants,
    "condition": conditions,
    "arguments": arguments,
}
FUNCTION_OPERATORS: dict[str, Callable[[ast.FunctionDef | ast.AsyncFunctionDef], Iterator[Change]]] = {
    "result": results,
    "statement": statements,
}


def _is_dispensable(node: ast.AST) -> bool:
    """Whether a function can be read, and perhaps run, without this statement."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call | ast.Yield | ast.YieldFrom | ast.Await)
    if isinstance(node, ast.Return):
        return node.value is None
    return isinstance(node, ast.AugAssign | ast.Raise | ast.Break | ast.Continue | ast.Delete)


def _is_sequence(node: ast.AST) -> bool:
    """Whether a node is surely a text, list or tuple: those have no difference or quotient."""
    if isinstance(node, ast.BinOp):
        return _is_sequence(node.left) or _is_sequence(node.right)
    return isinstance(node, SEQUENCES) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _nodes_of(function: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a function without those of functions and classes in it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from _nodes_of(child)
