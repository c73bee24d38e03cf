"""The part of a config that names one network: trained skills, or a whole network in their place."""

from typing import ClassVar

from polyray.backbones.precision import SkillsDtype
from polyray.errors import InputError
from polyray.responding.members import MemberSource
from polyray.training.recipe import SuiteConfig


class NetworkConfig(SuiteConfig):
    """A network, and the tasks that it is asked about."""

    files: ClassVar[frozenset[str]] = frozenset({"skills", "base", "backbone"})

    skills: str = ""
    """Folder of skills: RUN/skills, or that of one skill, such as RUN/skills/NAME."""
    base: tuple[str, ...] = ()
    """Folders of skills that lie beneath the one skill; empty: those from its training; [none]: none."""
    backbone: str = ""
    """In place of skills a whole network: a folder of transformers, such as a merged model, or a name."""
    backbone_dtype: SkillsDtype = "card"
    """Number format of the backbone's weights: see polytropon; card: the one that the skills were trained with, and
    fp32 for a whole network."""

    @property
    def source(self) -> MemberSource:
        """Source of the network."""
        return MemberSource(path=self.skills or self.backbone, base=self.base, dtype=self.backbone_dtype)

    def check_network(self, wanted: str) -> None:
        """Refuse a config that names no network, or two.

        Args:
            wanted: who needs skills, the beginning of the message.

        Raises:
            InputError: it names none, or both skills and a whole network.
        """
        if bool(self.skills) == bool(self.backbone):
            raise InputError(f"{wanted}, or backbone=FOLDER, a whole network; not both.")
