"""Several stacks of skills on one network, one of them in force at a time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import takewhile
from pathlib import Path

from polyray.backbones import Backbone
from polyray.backbones.backbone import device_of
from polyray.modules.occupant import Slot
from polyray.skills.card import check_backbone
from polyray.skills.composition import SparseSkills
from polyray.skills.skill import Skill, load_skill
from polyray.skills.sparse_delta import KIND, sparse_delta
from polyray.training.beneath import put_beneath
from polyray.training.placing import inventory_of

Stack = tuple[Path, ...]


class SwitchedSkills:
    """Stacks of skills that share a backbone, whose weights are in memory once.

    Skills that lie at the bottom of all stacks are put beneath for good. Of the others sparse skills are added to the
    weights while they are in force, and leave every bit as it was; modules stay on their layers and are passed over.
    """

    def __init__(self, backbone: Backbone, stacks: Mapping[str, Sequence[Path]]) -> None:
        """Put the skills on the backbone; none of the stacks is in force.

        Args:
            stacks: folders of skills by the name of their stack, the lowest first.

        Raises:
            InputError: a skill cannot be loaded, is of another backbone, or cannot share a layer with another one.
        """
        self._stacks = {name: tuple(path.resolve() for path in stack) for name, stack in stacks.items()}
        shared = common(list(self._stacks.values()))
        skills: dict[Path, Skill] = {
            path: load_skill(path) for stack in self._stacks.values() for path in stack[len(shared) :]
        }
        for skill in skills.values():
            check_backbone(skill.card, backbone.fingerprint)
        deltas = {str(path): sparse_delta(skill) for path, skill in skills.items() if skill.card.kind == KIND}
        self._sparse = SparseSkills(backbone.network, deltas)  # first: modules rename the parameters of their layers
        put_beneath(backbone, shared)
        self._slots: dict[Path, Slot] = {}
        for path, skill in skills.items():
            if skill.card.kind != KIND:
                inventory = inventory_of(skill, backbone.network, backbone.name).to(device_of(backbone.network))
                inventory.keep_in_force()
                inventory.install(backbone.network, on_top=True)
                inventory.slot.bare = True
                self._slots[path] = inventory.slot
        self._n_shared = len(shared)
        self._current: Stack = ()
        self._block = ExitStack()

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Let one stack be in force in the block, in place of the one of a block around it."""
        before = self._current
        self._switch(self._stacks[name][self._n_shared :])
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, stack: Stack) -> None:
        if stack == self._current:
            return
        self._block.close()
        self._block = ExitStack()
        self._block.enter_context(self._sparse.using({str(path): 1.0 for path in stack if path not in self._slots}))
        for path, slot in self._slots.items():
            slot.bare = path not in stack
        self._current = stack


def common(stacks: Sequence[Stack]) -> Stack:
    """The skills with which all stacks begin."""
    levels = takewhile(lambda paths: len(set(paths)) == 1, zip(*stacks, strict=False))
    return tuple(paths[0] for paths in levels)
