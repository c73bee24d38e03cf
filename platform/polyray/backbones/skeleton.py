"""The layers of a backbone without its weights, to check a config before anything starts."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from polyray.backbones.backbone import Kind
from polyray.backbones.huggingface import auto_class, check_config, kind_of
from polyray.backbones.tiny import TINY
from polyray.errors import InputError
from polyray.lookup import suggestion

if TYPE_CHECKING:  # loaded with the first model: transformers' classes take a second
    from transformers import PreTrainedModel


@dataclass(frozen=True, eq=False, kw_only=True)
class Skeleton:
    """A backbone whose tensors have shapes and no values."""

    name: str
    kind: Kind
    family: str
    model: "PreTrainedModel"


@lru_cache(maxsize=4)
def load_skeleton(name: str, revision: str = "") -> Skeleton:
    """The layers of a tiny backbone, of a folder, or of a model of the Hugging Face Hub; only its config is read.

    Raises:
        InputError: nothing of that name can be loaded.
    """
    if name in TINY:
        kind, build = TINY[name]
        with torch.device("meta"):
            model = build()
    elif name.startswith("tiny-"):
        raise InputError(f"No backbone is called {name!r}. {suggestion(name, TINY)}")
    else:
        kind, model = _pretrained(name, revision or None)
    return Skeleton(name=name, kind=kind, family=model.config.model_type, model=model)


def _pretrained(name: str, revision: str | None) -> "tuple[Kind, PreTrainedModel]":
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        check_config(name, config)
        kind = kind_of(config)
        with torch.device("meta"):
            return kind, auto_class(kind).from_config(config)
    except (OSError, ValueError) as error:
        source = "folder" if Path(name).exists() else "name"
        message = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"No backbone can be loaded from the {source} {name!r:.200}: {message}") from None
