"""The fields that files for other programs may have, and what in a file does not agree with them.

A shape repeats the form of a document. A mapping names its fields, with "*" for any name; a list has the shape of all
items; a leaf is a type (string, integer, boolean, scalar, any), or the values that are possible, parted by bars.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "shapes"
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "boolean": (bool,), "scalar": (str, int, float), "any": (object,),
}  # fmt: skip
Shape = Any


def read_shape(name: str) -> Shape:
    """The shape in the file `name` of tests/shapes."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def mistakes(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """All that does not agree with the shape, each with its path."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{path}: no mapping"
            return
        for key, inner in value.items():
            if key in shape or "*" in shape:
                yield from mistakes(inner, shape.get(key, shape.get("*")), f"{path}.{key}")
            else:
                yield f"{path}.{key}: no such field"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{path}: no list"
            return
        for number, item in enumerate(value):
            yield from mistakes(item, shape[0], f"{path}[{number}]")
    elif not _is_leaf(value, shape):
        yield f"{path}: {value!r} is not {shape}"


def misspellings(value: Any, shape: Shape) -> Iterator[tuple[str, Any]]:
    """Every copy of a document in which one field that the shape names lacks its last letter, with that spelling."""
    if isinstance(value, dict):
        for key in value:
            if key in shape:
                spelling = key[:-1]
                yield spelling, {spelling if name == key else name: inner for name, inner in value.items()}
            for spelling, inner in misspellings(value[key], shape.get(key, shape.get("*"))):
                yield spelling, {**value, key: inner}
    elif isinstance(value, list):
        for number, item in enumerate(value):
            for spelling, inner in misspellings(item, shape[0] if isinstance(shape, list) else shape):
                changed = copy.copy(value)
                changed[number] = inner
                yield spelling, changed


def shape_of(schema: dict[str, Any]) -> Shape:
    """The shape that a JSON schema or the OpenAPI schema of a Kubernetes resource describes."""
    if schema.get("x-kubernetes-int-or-string"):
        return "scalar"
    if "enum" in schema:
        return "|".join(map(str, schema["enum"]))
    kind = schema.get("type", "any")
    if kind == "object" or "properties" in schema or "patternProperties" in schema:
        return _fields_of(schema)
    if kind == "array" and "items" in schema:
        return [shape_of(schema["items"])]
    return {"number": "scalar"}.get(kind, kind) if isinstance(kind, str) and kind in ("number", *TYPES) else "any"


def read_schema(file: Path) -> dict[str, Any]:
    """A JSON schema."""
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


def _fields_of(schema: dict[str, Any]) -> Shape:
    fields = {name: shape_of(inner) for name, inner in schema.get("properties", {}).items()}
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return {**fields, "*": "any"}
    for inner in (schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()):
        if isinstance(inner, dict):
            fields["*"] = shape_of(inner)
    return fields or {"*": "any"}


def _is_leaf(value: Any, shape: str) -> bool:
    if shape in TYPES:
        return isinstance(value, TYPES[shape]) and (shape != "integer" or not isinstance(value, bool))
    return str(value) in shape.split("|")
