"""Everything that a merge reads: the base, the parts and their Fisher information, open and looked at."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from polyray.errors import InputError
from polyray.merging.model_files import Buffer, ModelFiles, open_model
from polyray.merging.recipe import MergeRecipe
from polyray.merging.safetensors_file import StoredTensor
from polyray.merging.skill_files import ChangedFiles, SkillFiles, is_skill
from polyray.merging.stored_network import StoredNetwork


@dataclass(frozen=True, eq=False, kw_only=True)
class Sources:
    """Open files, by the paths in the recipe.

    models: the base, if there is one, and the parts. fishers: Fisher information of the base, if the method reads it,
    and of the parts. inner_products: of the parts, if the method reads them.
    """

    models: Sequence[ModelFiles]
    fishers: Sequence[ModelFiles]
    inner_products: Sequence[ModelFiles] = ()

    @property
    def all(self) -> tuple[ModelFiles, ...]:
        """All of them, in this order."""
        return (*self.models, *self.fishers, *self.inner_products)

    def files(self) -> dict[str, tuple[Path, ...]]:
        """The files of each source by its path."""
        return {str(source.path): source.files for source in self.all}


class RenamedFiles:
    """Tensors of other files under the names that a model has for them; see `ModelFiles`."""

    def __init__(self, source: ModelFiles, names: Mapping[str, str]) -> None:
        """
        Args:
            names: those in `source` by the new ones.
        """
        self._source, self._names = source, names
        self.path, self.files, self.holds_changes = source.path, source.files, source.holds_changes
        self.tensors: Mapping[str, StoredTensor] = {new: source.tensors[old] for new, old in names.items()}

    def read(self, name: str, start: int, stop: int, buffer: Buffer) -> Tensor:
        """See `ModelFiles`."""
        return self._source.read(self._names[name], start, stop, buffer)

    def close(self) -> None:
        """Close the files."""
        self._source.close()


@contextmanager
def open_sources(recipe: MergeRecipe) -> Iterator[Sources]:
    """Open all that a merge reads.

    Raises:
        InputError: a model, a skill or Fisher information cannot be read.
    """
    with ExitStack() as stack:
        base = stack.enter_context(open_model(Path(recipe.base))) if recipe.base else None
        network = stored_network(recipe, base)
        whole = base
        if base is not None and network is not None and recipe.base_skills:
            whole = ChangedFiles(base, [SkillFiles(Path(path), network) for path in recipe.base_skills])
            stack.callback(whole.close)
        parts = [_part(stack, part.model, network) for part in recipe.parts]
        fishers = [stack.enter_context(open_model(Path(path))) for path in fisher_paths(recipe)]
        products = [stack.enter_context(open_model(Path(path))) for path in inner_product_paths(recipe)]
        models = [*([whole] if whole is not None else []), *parts]
        fishers, products = ([_named_like(x, models[0], network) for x in files] for files in (fishers, products))
        yield Sources(models=models, fishers=fishers, inner_products=products)


def stored_network(recipe: MergeRecipe, base: ModelFiles | None) -> StoredNetwork | None:
    """The base as a network, None where no skill is merged.

    Raises:
        InputError: a skill is merged, and there is no base, or it is no folder of transformers.
    """
    skills = [path for path in (*recipe.base_skills, *(part.model for part in recipe.parts)) if is_skill(path)]
    if not skills:
        return None
    if base is None:
        raise InputError(f"{skills[0]} is a skill: set base=FOLDER, the backbone that it was trained on.")
    return StoredNetwork(base)


def fisher_paths(recipe: MergeRecipe) -> list[str]:
    """The files of Fisher information that the method reads."""
    if not recipe.merge.method.needs_fisher:
        return []
    of_base = [recipe.base_fisher] if recipe.merge.method.needs_base else []
    return [*of_base, *(part.fisher for part in recipe.parts)]


def inner_product_paths(recipe: MergeRecipe) -> list[str]:
    """The files of inner products that the method reads."""
    return [part.inner_products for part in recipe.parts] if recipe.merge.method.needs_inner_products else []


def _part(stack: ExitStack, path: str, network: StoredNetwork | None) -> ModelFiles:
    if not is_skill(path):
        return stack.enter_context(open_model(Path(path)))
    assert network is not None  # there is a skill
    skill = SkillFiles(Path(path), network)
    stack.callback(skill.close)
    return skill


def _named_like(fisher: ModelFiles, model: ModelFiles, network: StoredNetwork | None) -> ModelFiles:
    """Fisher information under the model's names, where it has those of the network's parameters."""
    if network is None or all(name in model.tensors for name in fisher.tensors):
        return fisher
    names = {stored: name for name in fisher.tensors if (stored := network.tensor_of(name)) is not None}
    return RenamedFiles(fisher, names)
