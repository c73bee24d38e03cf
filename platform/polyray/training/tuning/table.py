"""The ways to train one skill of a whole network, by name, and the section `method` that chooses one."""

from typing import ClassVar

from polyray.config import Choice
from polyray.training.tuning.drawn import Magnitude, RandomMask
from polyray.training.tuning.modules import Bottleneck, Lora, MadX
from polyray.training.tuning.sensitivity import ConnectionSensitivity
from polyray.training.tuning.spiel import SpIEL
from polyray.training.tuning.ticket import LotteryTicket
from polyray.training.tuning.tuning import Tuning
from polyray.training.tuning.whole import BitFit, Full, HeadOnly

TUNINGS: dict[str, type[Tuning]] = {
    "lottery_ticket": LotteryTicket,
    "random": RandomMask,
    "magnitude": Magnitude,
    "connection_sensitivity": ConnectionSensitivity,
    "spiel": SpIEL,
    "full": Full,
    "bitfit": BitFit,
    "head": HeadOnly,
    "lora": Lora,
    "bottleneck": Bottleneck,
    "mad_x": MadX,
}


class MethodOptions(Choice):
    """A way to train one skill of a whole network, and its own options."""

    table = TUNINGS
    noun: ClassVar[str] = "method"

    kind: str = "lottery_ticket"
    """Method: see `polyray list methods`."""

    def tuning(self, steps: int) -> Tuning:
        """The method, whose phases have `steps` updates unless its options say else."""
        return TUNINGS[self.kind](self.options, steps)
