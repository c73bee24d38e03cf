"""Messages on wrong values and unknown fields of a config, in words of the config and not of Python."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from polyray.config.describing import field_names
from polyray.config.section import Choice, Section, sections
from polyray.lookup import nearest, suggestion

EXPECTED: Mapping[str, str] = {  # by pydantic's type of error
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "expected an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), "expected a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "expected true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "expected a list, such as [{input}]"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "expected a section with fields of its own"),
    "string_type": "expected a text",
    "finite_number": "expected a finite number",
    "missing": "it must be set",
    "extra_forbidden": "no such field",
}


def explain(error: ValidationError, kind: type[Section], origins: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """One line for each field that is wrong, with where it was set.

    Args:
        kind: of the config.
        origins: dotted name of each field that was set -> where.
        values: what was set, nested.
    """
    messages = []
    for problem in error.errors():
        name = ".".join(str(step) for step in problem["loc"] if step != "options")
        at = next((origins[key] for key in (name, *_parents(name)) if key in origins), "default")
        if problem["type"] != "extra_forbidden":
            shown = "" if problem["type"] == "missing" else f" = {_shown(problem['input'])}"
            messages.append(f"{name}{shown} ({at}): {reason(problem)}")
            continue
        inside = [] if name in origins else [key for key in origins if key.startswith(f"{name}.")]  # of overrides
        for inner in inside or [name]:
            messages.append(_unknown_field(inner, origins.get(inner, at), kind, values))
    return "\n".join(dict.fromkeys(messages))


def first_problem(error: ValidationError) -> str:
    """The first fault in the content of a file: name of the value, what is wrong, and the value."""
    problem = error.errors()[0]
    name = ".".join(map(str, problem["loc"])) or "the file"
    shown = "" if problem["type"] in ("missing", "extra_forbidden") else f", found {_shown(problem['input'])}"
    return f"{name:.80}: {reason(problem):.300}{shown}"


def reason(problem: Mapping[str, Any]) -> str:
    """The fault of a value in words of the config; problem: one of pydantic's `errors()`."""
    if problem["type"] == "literal_error":
        options = [text.strip("'") for text in str(problem.get("ctx", {}).get("expected", "")).split(", ")]
        options = [name for text in options for name in text.split("' or '")]
        return f"expected one of these. {suggestion(str(problem['input']), options)}"
    expected = EXPECTED.get(problem["type"])
    if expected is None:
        return str(problem["msg"]).removeprefix("Value error, ")
    return expected.format(input=problem["input"] if isinstance(problem["input"], str) else "a, b")


def _shown(value: Any) -> str:
    """`value` in at most 80 characters."""
    return f"{value!r:.80}"


def _unknown_field(name: str, at: str, kind: type[Section], values: Mapping[str, Any]) -> str:
    section, _, field = name.rpartition(".")
    choice = dict(sections(kind)).get(section)
    if choice is not None and issubclass(choice, Choice):
        owners = [entry for entry, value in choice.table.items() if field in value.Options.model_fields]
        if owners:
            selector = kind.selectors.get(section, f"{section}.kind")
            default = kind.model_fields[section].default
            chosen = _chosen(values, selector) or (
                default.kind if isinstance(default, Choice) else choice.default_kind()
            )
            return (
                f"{name} ({at}) is not read with {selector}={chosen}; {', '.join(owners)} "
                f"{'reads' if len(owners) == 1 else 'read'} it. Leave it out, or choose another {selector}."
            )
    names = field_names(kind)
    if name in names:  # of a section inside a choice
        return f"{name} ({at}) is not read here."
    near = nearest(name, names) or nearest(name, dict.fromkeys(_prefixes(names)))
    hint = f"Did you mean {near!r}?" if near else f"Known: {', '.join(names)}."
    return f"No field is called {name!r:.80} ({at}). {hint}"


def _chosen(values: Mapping[str, Any], selector: str) -> str:
    inner: Any = values
    for step in selector.split("."):
        inner = inner.get(step) if isinstance(inner, Mapping) else None
    return str(inner or "")


def _prefixes(names: list[str]) -> Iterator[str]:
    """The names of sections."""
    return (parent for name in names for parent in _parents(name))


def _parents(name: str) -> list[str]:
    steps = name.split(".")
    return [".".join(steps[:i]) for i in range(len(steps) - 1, 0, -1)]
