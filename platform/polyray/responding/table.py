"""The systems by name, and the section `system` that chooses one."""

from typing import ClassVar

from polyray.config import Choice
from polyray.responding.dexperts import DExperts
from polyray.responding.noisy_channel import NoisyChannel
from polyray.responding.plain import ControlTokens, Plain
from polyray.responding.system import System

SYSTEMS: dict[str, type[System]] = {
    "plain": Plain,
    "ctrl": ControlTokens,
    "dexperts": DExperts,
    "noisy_channel": NoisyChannel,
}


class SystemOptions(Choice):
    """A way to answer, and its own options."""

    table = SYSTEMS
    noun: ClassVar[str] = "system"

    kind: str = "plain"
    """System: see `polyray list systems`."""

    def system(self) -> System:
        """The system."""
        return SYSTEMS[self.kind](self.options)
