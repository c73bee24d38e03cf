"""Names of public sparse fine-tunings and of the parameters in them."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from polyray.errors import InputError
from polyray.lookup import suggestion
from polyray.modules.changes import SparseChange
from polyray.skills.sparse_delta import is_of_pooler

ORGANISATIONS = {"cambridge-tl": "cambridgeltl"}  # as papers and slides write it -> as it is called on the Hub
PUBLIC = re.compile(r"(?P<model>mbert|xlmr)-(?:lang|task)-sft-.+")
MODELS = {"mbert": "bert-base-multilingual-cased", "xlmr": "xlm-roberta-base"}
"""Beginning of a public fine-tuning's name -> the model that it was trained on."""


def hub_name(name: str) -> str:
    """The name of a repository on the Hub, of either way to write its organisation."""
    organisation, _, rest = name.partition("/")
    return f"{ORGANISATIONS.get(organisation, organisation)}/{rest}"


def fetch(source: Path | str, file: str, backbone: str) -> Path:
    """The file called `file` in the folder `source`, or in the repository of that name on the Hub.

    Args:
        backbone: name of the model that the fine-tuning is to sit on.

    Raises:
        InputError: there is no such folder, file or repository, or its name says that it belongs to another model.
    """
    name = Path(source).name
    matched = PUBLIC.fullmatch(name)
    if matched is not None and Path(backbone).name in set(MODELS.values()) - {MODELS[matched["model"]]}:
        raise InputError(f"{name} was trained on {MODELS[matched['model']]}; the backbone is {backbone}.")
    folder = Path(source)
    if folder.is_dir():
        return folder / file
    if folder.is_absolute() or len(folder.parts) != 2:
        raise InputError(f"{source} is no folder; expected one with {file}, or a name on the Hub: ORGANISATION/NAME.")
    from transformers.utils.hub import cached_file  # a second, which local folders need not wait for

    try:
        path = cached_file(hub_name(str(source)), file)
    except OSError as error:
        raise InputError(f"Cannot load {hub_name(str(source))} from the Hub: {error}") from None
    assert path is not None  # it raises where there is none
    return Path(path)


def family_prefix(network: nn.Module) -> str:
    """The beginning of parameters' names in the models of transformers with a head, such as `bert.`; `.`: none."""
    return f"{getattr(network, 'base_model_prefix', '')}."


def names_on(network: nn.Module, changes: Mapping[str, SparseChange], file: Path) -> dict[str, SparseChange]:
    """Changes under the names that their parameters have in `network`, with or without the prefix of its family.

    A pooler, which encoders are loaded without, has the name that it would have.

    Raises:
        InputError: the network has no such parameter.
    """
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    base = family_prefix(network)
    prefixed = any(label.startswith(base) for label in parameters)
    renamed = {}
    for name, change in changes.items():
        names = [label for label in (name, name.removeprefix(base), base + name) if label in parameters]
        if not names and is_of_pooler(name):
            names = [name.removeprefix("" if prefixed else base)]
        if not names:
            raise InputError(f"{file}: the backbone has no parameter {name!r}. {suggestion(name, parameters)}")
        renamed[names[0]] = change
    return renamed
