"""Recipes that were written for mergekit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyray.config.values import read_as
from polyray.errors import InputError
from polyray.formats import read_yaml
from polyray.lookup import lookup
from polyray.merging.recipe import DTYPES, MergeRecipe
from polyray.skills.tensors import type_name

COMMON = {"normalize": "normalize", "lambda": "scale"}
THINNED = {**COMMON, "rescale": "rescale"}
METHODS: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, str]]] = {
    "linear": ("average", {}, {"normalize": "normalize"}),
    "task_arithmetic": ("task_arithmetic", {}, COMMON),
    "ties": ("ties", {}, THINNED),
    "dare_ties": ("dare", {"signs": "sum"}, THINNED),
    "dare_linear": ("dare", {}, THINNED),
    "breadcrumbs": ("breadcrumbs", {}, {**THINNED, "gamma": "outliers"}),
    "breadcrumbs_ties": ("breadcrumbs", {"signs": "sum"}, {**THINNED, "gamma": "outliers"}),
    "della": ("della", {}, {**THINNED, "epsilon": "spread"}),
    "della_linear": ("della", {"signs": "none", "normalize": False}, {**THINNED, "epsilon": "spread"}),
    "slerp": ("slerp", {}, {"t": "t"}),
    "multislerp": ("multislerp", {}, {}),
    "model_stock": ("model_stock", {}, {"filter_wise": "by_row"}),
    "sce": ("sce", {}, {"select_topk": "density"}),
}
"""mergekit's methods: ours, options that it has there, and mergekit's parameters by our names."""
FIELDS = {"merge_method", "models", "base_model", "parameters", "dtype", "out_dtype", "tokenizer_source"}
UNUSED = {"int8_mask": "saves memory, which a merge by tensors does not need"}
OF_PARTS = ("weight", "density")
TYPE_NAMES = {type_name(dtype): name for name, dtype in DTYPES.items()}


def read_mergekit(file: Path) -> MergeRecipe:
    """The recipe in a YAML file of mergekit, for the methods that both have.

    Raises:
        InputError: it is none, or uses what Polyray lacks.
    """
    content = read_yaml(file).content
    if not isinstance(content, Mapping) or "merge_method" not in content:
        raise InputError(f"{file}: merge_method: missing. Expected a recipe of mergekit.")
    for name in content:
        if name not in FIELDS:
            raise InputError(f"{file}: {name}: Polyray does not read this field of mergekit's; leave it out.")
    kind, options, names = lookup(METHODS, str(content["merge_method"]), "merge method that mergekit also has")
    parameters = dict(content.get("parameters") or {})
    base = str(content.get("base_model") or "")
    models = [_model(file, entry) for entry in content.get("models") or []]
    general = {name: parameters.pop(name) for name in OF_PARTS if name in parameters}
    parts = [
        {"model": model, **_of_part(file, {**general, **settings}, kind)}
        for model, settings in models
        if model != base or kind == "average"
    ]
    merge = {"kind": kind, **options, **_options(file, parameters, names)}
    tokenizer = str(content.get("tokenizer_source") or "base")
    if tokenizer not in ("base", base):
        raise InputError(f"{file}: tokenizer_source: {tokenizer}: only the base's tokenizer is taken over.")
    dtype = str(content.get("out_dtype") or content.get("dtype") or "")
    if dtype and dtype not in TYPE_NAMES:
        raise InputError(f"{file}: dtype: {dtype}: expected one of {', '.join(TYPE_NAMES)}.")
    return MergeRecipe.model_validate(
        {
            "base": "" if kind == "average" else base,
            "parts": parts,
            "merge": merge,
            "dtype": TYPE_NAMES.get(dtype, "same"),
        }
    )


def _model(file: Path, entry: Any) -> tuple[str, dict[str, Any]]:
    """The path of a model, and its own parameters."""
    if not isinstance(entry, Mapping) or "model" not in entry:
        raise InputError(f"{file}: models: expected entries like {{model: FOLDER, parameters: {{weight: 1}}}}.")
    model = str(entry["model"])
    if "+" in model or "@" in model:
        raise InputError(f"{file}: models: {model}: expected a folder; a LoRA or a revision behind it is not read.")
    return model, dict(entry.get("parameters") or {})


def _of_part(file: Path, parameters: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Weight, density and patterns of a part, from numbers or lists of {filter, value}."""
    fields: dict[str, Any] = {}
    patterns: dict[str, dict[str, Any]] = {}
    for name, value in parameters.items():
        if name not in OF_PARTS:
            raise InputError(f"{file}: models: {name}: Polyray sets it for all parts alike, or lacks it for {kind}.")
        for pattern, number in _cases(file, name, value):
            if pattern == "*":
                fields[name] = number
            else:
                patterns.setdefault(pattern, {})[name] = number
    return {**fields, "patterns": [{"pattern": pattern, **values} for pattern, values in patterns.items()]}


def _cases(file: Path, name: str, value: Any) -> list[tuple[str, float]]:
    """Patterns of tensors and the value in each, the first that fits counts.

    Raises:
        InputError: the value is a gradient over layers, or no number.
    """
    if not isinstance(value, list):
        return [("*", _number(file, name, value))]
    cases = []
    for entry in value:
        if not isinstance(entry, Mapping) or "value" not in entry or isinstance(entry["value"], list):
            raise InputError(
                f"{file}: {name}: no gradients over layers are read; use filters: [{{filter: mlp, value: 1}}]."
            )
        part_of_name = str(entry.get("filter") or "*")
        pattern = "*" if part_of_name == "*" else f"*{part_of_name}*"
        cases.append((pattern, _number(file, name, entry["value"])))
    return cases


def _options(file: Path, parameters: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The method's options from mergekit's parameters."""
    options = {}
    for name, value in parameters.items():
        if name in UNUSED:
            continue
        if name not in names:
            raise InputError(f"{file}: parameters: {name}: Polyray lacks it for this method; leave it out.")
        if isinstance(value, list | Mapping):
            raise InputError(f"{file}: parameters: {name}: expected one value for all tensors.")
        options[names[name]] = value
    return options


def _number(file: Path, name: str, value: Any) -> float:
    number = read_as(value, float)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InputError(f"{file}: {name}: expected a number, found {value!r:.80}.")
    return float(number)
