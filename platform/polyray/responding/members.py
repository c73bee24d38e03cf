"""The networks that answer together, from their folders: whole ones, and skills on a backbone that they share."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from polyray.backbones import Backbone, load_backbone
from polyray.backbones.precision import DtypeChoice, SkillsDtype, check_dtype
from polyray.backbones.skeleton import load_skeleton
from polyray.errors import InputError
from polyray.responding.switching import SwitchedSkills
from polyray.skills.card import CARD
from polyray.skills.skill import load_card, load_skill
from polyray.training.beneath import beneath
from polyray.training.model import Modular, bare
from polyray.training.skill_source import SkillSource, is_source
from polyray.training.worker import own_device

PROBE = "The QUICK brown fox (aged 47½) says: «Ça va?» 你好 #1_a-b\n\t'tis"
"""A text that tokenizers of different vocabularies read differently."""


@dataclass(frozen=True, kw_only=True)
class MemberSource:
    """A network on disk: `path` is a folder of skills, a folder of transformers, or the name of a network.

    base: folders beneath one skill; empty: those from its training. dtype: number format of the backbone's weights.
    """

    path: str
    base: tuple[str, ...] = ()
    dtype: SkillsDtype = "card"

    @property
    def is_skills(self) -> bool:
        """Whether it is skills and no whole network."""
        return is_source(Path(self.path))

    @property
    def whole_dtype(self) -> DtypeChoice:
        """Number format of a whole network."""
        return "fp32" if self.dtype == "card" else self.dtype

    def check(self, tasks: Sequence[str]) -> None:
        """Look at the folder without loading a network.

        Raises:
            InputError: there is none, or it is damaged.
        """
        if self.is_skills:
            SkillSource.of(Path(self.path), self.dtype, self.base)
            self.stack()
            return
        if self.base:
            raise InputError(f"base=[{', '.join(self.base)}] lies beneath a skill; {self.path} is a whole network.")
        check_dtype(self.path, self.whole_dtype)
        load_skeleton(self.path)

    def load(self, tasks: Sequence[str]) -> Modular:
        """The network by itself, frozen, in evaluation mode, on a GPU if there is one.

        Raises:
            InputError: it cannot be loaded, or the skills do not know a task.
        """
        if self.is_skills:
            return SkillSource.of(Path(self.path), self.dtype, self.base).load(tasks).to(own_device())
        backbone = load_backbone(self.path, dtype=self.whole_dtype)
        backbone.freeze()
        return bare(backbone, tasks).to(own_device()).eval()

    def stack(self) -> tuple[Path, ...] | None:
        """The skills of which it is made on top of its backbone, the lowest first; None where they cannot be switched.

        Raises:
            InputError: a skill beneath is not there any more.
        """
        if not self.is_skills:
            return ()
        path = Path(self.path)
        if not (path / CARD).exists() or load_card(path).trained_backbone is not None:
            return None
        return (*beneath(load_skill(path), path, self.base), path)

    @property
    def backbone(self) -> tuple[str, str, DtypeChoice]:
        """Name, revision and number format of the backbone."""
        if not self.is_skills:
            name = str(Path(self.path).absolute()) if Path(self.path).is_dir() else self.path
            return name, "", self.whole_dtype
        card = SkillSource.of(Path(self.path), self.dtype).backbone
        return card.name, card.revision, card.dtype if self.dtype == "card" else self.dtype


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkMember:
    """A network that takes part in answering.

    in_force: makes the block in which `network` computes as this member.
    """

    network: Modular
    in_force: Callable[[], AbstractContextManager[object]] = nullcontext

    @property
    def backbone(self) -> Backbone:
        """Its backbone, with the skills on it."""
        return self.network.backbone


def load_members(sources: Mapping[str, MemberSource], tasks: Sequence[str], *, share: bool) -> dict[str, NetworkMember]:
    """The networks by name; the first one may be skills that tasks mix, the others are single skills or networks.

    Args:
        share: whether skills on the same backbone share it, which is then in memory once.

    Raises:
        InputError: one cannot be loaded, does not know a task, or has another vocabulary than the first one; or another
            one than the first is no single skill.
    """
    main = next(iter(sources))
    groups: dict[object, list[str]] = {}
    for name, source in sources.items():
        groups.setdefault(source.backbone if share and source.stack() is not None else name, []).append(name)
    members: dict[str, NetworkMember] = {}
    for names in groups.values():
        if names == [main]:
            members[main] = NetworkMember(network=sources[main].load(tasks))
        else:
            members |= _sharing({name: sources[name] for name in names}, tasks)
    ordered = {name: members[name] for name in sources}
    _check_vocabularies(sources, ordered)
    return ordered


def _sharing(sources: Mapping[str, MemberSource], tasks: Sequence[str]) -> dict[str, NetworkMember]:
    """Members that are stacks of skills on one backbone."""
    name, revision, dtype = next(iter(sources.values())).backbone
    stacks = {member: source.stack() for member, source in sources.items()}
    for member, stack in stacks.items():
        if stack is None:
            raise InputError(
                f"{member}: {sources[member].path} holds skills that tasks mix, or that were trained with their "
                "backbone: name one skill on a frozen backbone, or a whole network."
            )
    backbone = load_backbone(name, revision, dtype)
    backbone.freeze()
    network = bare(backbone, tasks).to(own_device()).eval()
    switched = SwitchedSkills(backbone, {member: stack or () for member, stack in stacks.items()})
    return {member: NetworkMember(network=network, in_force=partial(switched.using, member)) for member in sources}


def _check_vocabularies(sources: Mapping[str, MemberSource], members: Mapping[str, NetworkMember]) -> None:
    first = next(iter(members))
    expected = members[first].backbone
    for name, member in members.items():
        text = member.backbone.text
        if (text.encode(PROBE), text.eos) != (expected.text.encode(PROBE), expected.text.eos):
            raise InputError(
                f"{sources[name].path} reads texts as other tokens than {sources[first].path}: networks that answer "
                "together share a vocabulary."
            )
