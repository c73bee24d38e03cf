"""A network without the rows of the pieces that a trimmed tokenizer lacks."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from polyray.backbones.backbone import Backbone
from polyray.backbones.huggingface import auto_class
from polyray.backbones.quiet import without_reports
from polyray.errors import InputError
from polyray.files.disk import Point, disk
from polyray.modules.attach import parent_of

if TYPE_CHECKING:  # loaded with the first model: transformers' classes take a second
    from transformers import PretrainedConfig, PreTrainedModel

SIZE = "vocab_size"
ENDINGS = ("_token_id", "_token_ids")
LISTS = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids")
"""Fields of configs that hold numbers of pieces, besides those whose names end so."""


def named_pieces(config: "PretrainedConfig") -> list[int]:
    """The numbers of pieces in a network's config, such as that of padding."""
    numbers: list[int] = []

    def collect(number: int) -> int:
        numbers.append(number)
        return number

    renumbered(config.to_dict(), collect)
    return numbers


def renumbered(value: Any, new: Callable[[int], int], field: str = "") -> Any:
    """The content of a config with `new` numbers of pieces; field: the name under which it stands."""
    if isinstance(value, Mapping):
        return {name: renumbered(entry, new, str(name)) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [renumbered(entry, new, field) for entry in value]
    holds_piece = field.endswith(ENDINGS) or field in LISTS
    return new(value) if holds_piece and type(value) is int else value


def load_whole(backbone: Backbone) -> "tuple[PreTrainedModel, list[str]]":
    """The network with the heads of its file, in the file's number format, and the names of the file's tensors."""
    import transformers

    (architecture, *_) = backbone.model.config.architectures or [""]
    build = getattr(transformers, architecture, auto_class(backbone.kind))
    with without_reports():
        model, report = build.from_pretrained(
            backbone.name, revision=backbone.revision or None, dtype="auto", output_loading_info=True
        )
    missing = set(report["missing_keys"])  # a pooler, say, which transformers draws at random
    return model, [key for key in model.state_dict() if key not in missing]


def trim_network(model: "PreTrainedModel", numbers: Sequence[int]) -> list[str]:
    """Take all rows but `numbers`, ascending, from the tensors of vocabulary size; their names.

    These tensors are the ones whose shape changes where the config's size of the vocabulary does.

    Raises:
        InputError: the network does not follow its config's size of the vocabulary.
    """
    full_size = int(model.config.get_text_config().vocab_size)
    new = {number: index for index, number in enumerate(numbers)}
    config = _trimmed_config(model.config, full_size, new)
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in type(model)(config).state_dict().items()}
    rows, names = torch.tensor(numbers), []
    for key, tensor in dict(model.state_dict()).items():
        axes = [axis for axis, size in enumerate(shapes[key]) if size != tensor.shape[axis]]
        if [(tensor.shape[axis], shapes[key][axis]) for axis in axes] == [(full_size, len(numbers))]:
            _replace(model, key, tensor.index_select(axes[0], rows))
            names.append(key)
        elif axes:
            raise _odd(model, key)
    if model.get_input_embeddings().get_parameter("weight").shape[0] != len(numbers):
        raise _odd(model, "its input embeddings")
    model.config = config
    if model.can_generate():
        fields = renumbered(model.generation_config.to_dict(), lambda number: new.get(number, number))
        model.generation_config = type(model.generation_config).from_dict(fields)
    return names


def write_network(model: "PreTrainedModel", names: Sequence[str], folder: Path) -> None:
    """Write the config and the tensors called `names` into a folder that is itself written whole.

    Raises:
        StorageError: the disk refused.
    """
    state = {key: tensor for key, tensor in model.state_dict().items() if key in set(names)}

    def write(path: Path) -> None:
        model.save_pretrained(path, state_dict=state)
        mode = (path / "config.json").stat().st_mode
        for file in path.iterdir():
            file.chmod(mode)  # safetensors lets nobody else read its file

    disk().fill(Point.CONTENT_WRITTEN, folder, write)


def _trimmed_config(config: "PretrainedConfig", full_size: int, new: Mapping[int, int]) -> "PretrainedConfig":
    """The config with another size of the vocabulary, and numbers of pieces to match; unused defaults stay."""

    def resized(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        sized = {SIZE: len(new)} if value.get(SIZE) == full_size else {}
        return {name: resized(entry) for name, entry in value.items()} | sized

    fields = renumbered(config.to_dict(), lambda number: new.get(number, number))
    trimmed: PretrainedConfig = type(config).from_dict(resized(fields))
    trimmed.architectures = config.architectures
    return trimmed


def _replace(model: "PreTrainedModel", name: str, tensor: Tensor) -> None:
    """Put `tensor` in the place of a parameter, which stays the one object that tied layers share, or of a buffer."""
    parent, last = parent_of(model, name)
    if last in dict(parent.named_parameters(recurse=False)):
        parent.get_parameter(last).data = tensor
    else:
        parent.register_buffer(last, tensor)


def _odd(model: "PreTrainedModel", name: str) -> InputError:
    return InputError(
        f"{type(model).__name__} cannot be trimmed: {name} does not have one row for each of the "
        f"{model.config.get_text_config().vocab_size} pieces of its config."
    )
