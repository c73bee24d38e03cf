"""Names of layers, out of the names of parameters."""

import re

LAYER = re.compile(r"^(.*?\.\d+)\.")  # the first numbered module around a parameter


def layer_of(parameter: str) -> str:
    """The first numbered module around a parameter, else the module that has it."""
    match = LAYER.match(parameter)
    return match[1] if match else parameter.rpartition(".")[0] or parameter
