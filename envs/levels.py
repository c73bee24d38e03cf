"""BabyAI's levels: every id that minigrid registers, named suites of them, and the EXPERT allocation.

`polyray.envs.register_level` adds a level of one's own, a subclass of minigrid's RoomGridLevel. Without a recipe in
`envs.generation` its start states come from minigrid (`envs.starts.reference`), which is slower.

Competencies are those of Chevalier-Boisvert et al. 2019 (arXiv:1810.08272), Table 1; for levels that the table does not
list they follow from the paper's definitions.
"""

import hashlib
import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from polyray.errors import InputError
from polyray.lookup import lookup


@dataclass(frozen=True, kw_only=True)
class Level:
    """Family of start states and instructions that one of minigrid's environments draws from."""

    name: str  # "GoToLocal": the minigrid id without "BabyAI-" and its version
    env_id: str  # "BabyAI-GoToLocal-v0"; "module:id" where importing the module registers the id with gymnasium
    width: int  # of the grid, in tiles
    height: int
    max_steps: int  # step limit; where it follows from the instruction, the largest possible one
    competencies: tuple[str, ...]
    rooms: int  # number of rooms

    @property
    def code(self) -> int:
        """Number of 64 bits, the same in every process, by which a start state says that it is of this level."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "little")


_VERSIONS = {"GoToObjS6": "v1"}  # minigrid retired the v0 of this one

# name, size of a room with its walls, columns and rows of rooms, step limit, competencies
_ROWS: tuple[tuple[str, int, int, int, int, str], ...] = (
    ("GoToRedBallGrey", 8, 1, 1, 64, "room distr_box"),
    ("GoToRedBall", 8, 1, 1, 64, "room distr_box distr"),
    ("GoToRedBallNoDists", 8, 1, 1, 64, "room"),
    ("GoToObj", 8, 1, 1, 64, "room"),
    ("GoToObjS4", 4, 1, 1, 16, "room"),
    ("GoToObjS6", 6, 1, 1, 36, "room"),
    ("GoToLocal", 8, 1, 1, 64, "room distr_box distr goto"),
    ("GoToLocalS5N2", 5, 1, 1, 25, "room distr_box distr goto"),
    ("GoToLocalS6N2", 6, 1, 1, 36, "room distr_box distr goto"),
    ("GoToLocalS6N3", 6, 1, 1, 36, "room distr_box distr goto"),
    ("GoToLocalS6N4", 6, 1, 1, 36, "room distr_box distr goto"),
    ("GoToLocalS7N4", 7, 1, 1, 49, "room distr_box distr goto"),
    ("GoToLocalS7N5", 7, 1, 1, 49, "room distr_box distr goto"),
    ("GoToLocalS8N2", 8, 1, 1, 64, "room distr_box distr goto"),
    ("GoToLocalS8N3", 8, 1, 1, 64, "room distr_box distr goto"),
    ("GoToLocalS8N4", 8, 1, 1, 64, "room distr_box distr goto"),
    ("GoToLocalS8N5", 8, 1, 1, 64, "room distr_box distr goto"),
    ("GoToLocalS8N6", 8, 1, 1, 64, "room distr_box distr goto"),
    ("GoToLocalS8N7", 8, 1, 1, 64, "room distr_box distr goto"),
    ("GoTo", 8, 3, 3, 576, "room distr_box distr maze goto"),
    ("GoToOpen", 8, 3, 3, 576, "room distr_box distr maze goto"),
    ("GoToObjMaze", 8, 3, 3, 576, "room maze"),
    ("GoToObjMazeOpen", 8, 3, 3, 576, "room maze"),
    ("GoToObjMazeS4R2", 4, 2, 2, 64, "room maze"),
    ("GoToObjMazeS4", 4, 3, 3, 144, "room maze"),
    ("GoToObjMazeS5", 5, 3, 3, 225, "room maze"),
    ("GoToObjMazeS6", 6, 3, 3, 324, "room maze"),
    ("GoToObjMazeS7", 7, 3, 3, 441, "room maze"),
    ("GoToImpUnlock", 8, 3, 3, 576, "room distr_box distr maze imp_unlock goto"),
    ("GoToSeq", 8, 3, 3, 2304, "room distr_box distr maze goto seq"),
    ("GoToSeqS5R2", 5, 2, 2, 400, "room distr_box distr maze goto seq"),
    ("GoToRedBlueBall", 8, 1, 1, 64, "room distr_box distr"),
    ("GoToDoor", 7, 3, 3, 441, "room goto"),
    ("GoToObjDoor", 8, 3, 3, 576, "room distr_box distr goto"),
    ("Open", 8, 3, 3, 576, "room distr_box distr maze open"),
    ("OpenRedDoor", 5, 2, 1, 50, "room open"),
    ("OpenDoor", 8, 3, 3, 576, "room open loc"),
    ("OpenDoorDebug", 8, 3, 3, 576, "room open loc"),
    ("OpenDoorColor", 8, 3, 3, 576, "room open"),
    ("OpenDoorLoc", 8, 3, 3, 576, "room open loc"),
    ("OpenTwoDoors", 6, 3, 3, 720, "room open seq"),
    ("OpenRedBlueDoors", 6, 3, 3, 720, "room open seq"),
    ("OpenRedBlueDoorsDebug", 6, 3, 3, 720, "room open seq"),
    ("OpenDoorsOrderN2", 6, 3, 3, 720, "room open seq"),
    ("OpenDoorsOrderN4", 6, 3, 3, 720, "room open seq"),
    ("OpenDoorsOrderN2Debug", 6, 3, 3, 720, "room open seq"),
    ("OpenDoorsOrderN4Debug", 6, 3, 3, 720, "room open seq"),
    ("Pickup", 8, 3, 3, 576, "room distr_box distr maze pickup"),
    ("UnblockPickup", 8, 3, 3, 576, "room distr_box distr maze unblock pickup"),
    ("PickupLoc", 8, 1, 1, 64, "room distr_box distr pickup loc"),
    ("PickupDist", 7, 1, 1, 49, "room distr_box distr pickup"),
    ("PickupDistDebug", 7, 1, 1, 49, "room distr_box distr pickup"),
    ("PickupAbove", 6, 3, 3, 288, "room maze pickup"),
    ("PutNextLocal", 8, 1, 1, 128, "room distr_box distr put"),
    ("PutNextLocalS5N3", 5, 1, 1, 50, "room distr_box distr put"),
    ("PutNextLocalS6N4", 6, 1, 1, 72, "room distr_box distr put"),
    ("PutNextS4N1", 4, 2, 1, 128, "room put"),
    ("PutNextS5N2", 5, 2, 1, 200, "room distr_box distr put"),
    ("PutNextS5N1", 5, 2, 1, 200, "room put"),
    ("PutNextS6N3", 6, 2, 1, 288, "room distr_box distr put"),
    ("PutNextS7N4", 7, 2, 1, 392, "room distr_box distr put"),
    ("PutNextS5N2Carrying", 5, 2, 1, 200, "room distr_box distr put"),
    ("PutNextS6N3Carrying", 6, 2, 1, 288, "room distr_box distr put"),
    ("PutNextS7N4Carrying", 7, 2, 1, 392, "room distr_box distr put"),
    ("Unlock", 8, 3, 3, 576, "room distr_box distr maze unlock open"),
    ("UnlockLocal", 8, 3, 3, 576, "room unlock open"),
    ("UnlockLocalDist", 8, 3, 3, 576, "room distr_box distr unlock open"),
    ("KeyInBox", 8, 3, 3, 576, "room unlock open"),
    ("UnlockPickup", 6, 2, 1, 72, "room maze unlock pickup"),
    ("UnlockPickupDist", 6, 2, 1, 72, "room distr_box distr maze unlock pickup"),
    ("BlockedUnlockPickup", 6, 2, 1, 576, "room maze unblock unlock pickup"),
    ("UnlockToUnlock", 6, 3, 1, 1080, "room maze unlock pickup"),
    ("ActionObjDoor", 7, 3, 3, 441, "room distr_box distr goto open pickup"),
    ("FindObjS5", 5, 3, 3, 500, "room maze pickup"),
    ("FindObjS6", 6, 3, 3, 720, "room maze pickup"),
    ("FindObjS7", 7, 3, 3, 980, "room maze pickup"),
    ("KeyCorridor", 6, 3, 3, 1080, "room maze unlock pickup"),
    ("KeyCorridorS3R1", 3, 3, 1, 270, "room maze unlock pickup"),
    ("KeyCorridorS3R2", 3, 3, 2, 270, "room maze unlock pickup"),
    ("KeyCorridorS3R3", 3, 3, 3, 270, "room maze unlock pickup"),
    ("KeyCorridorS4R3", 4, 3, 3, 480, "room maze unlock pickup"),
    ("KeyCorridorS5R3", 5, 3, 3, 750, "room maze unlock pickup"),
    ("KeyCorridorS6R3", 6, 3, 3, 1080, "room maze unlock pickup"),
    ("OneRoomS8", 8, 1, 1, 64, "room pickup"),
    ("OneRoomS12", 12, 1, 1, 144, "room pickup"),
    ("OneRoomS16", 16, 1, 1, 256, "room pickup"),
    ("OneRoomS20", 20, 1, 1, 400, "room pickup"),
    ("MoveTwoAcrossS5N2", 5, 2, 1, 400, "room distr_box distr put seq"),
    ("MoveTwoAcrossS8N9", 8, 2, 1, 1024, "room distr_box distr put seq"),
    ("Synth", 8, 3, 3, 1152, "room distr_box distr maze unblock unlock goto open pickup put"),
    ("SynthS5R2", 5, 3, 2, 300, "room distr_box distr maze unblock unlock goto open pickup put"),
    ("SynthLoc", 8, 3, 3, 1152, "room distr_box distr maze unblock unlock goto open pickup put loc"),
    ("SynthSeq", 8, 3, 3, 4608, "room distr_box distr maze unblock unlock goto open pickup put loc seq"),
    ("MiniBossLevel", 5, 2, 2, 800, "room distr_box distr maze unblock unlock imp_unlock goto open pickup put loc seq"),
    ("BossLevel", 8, 3, 3, 4608, "room distr_box distr maze unblock unlock imp_unlock goto open pickup put loc seq"),
    ("BossLevelNoUnlock", 8, 3, 3, 4608, "room distr_box distr maze unblock goto open pickup put loc seq"),
)


def _level(name: str, room: int, columns: int, rows: int, max_steps: int, competencies: str) -> Level:
    return Level(
        name=name,
        env_id=f"BabyAI-{name}-{_VERSIONS.get(name, 'v0')}",
        width=columns * (room - 1) + 1,
        height=rows * (room - 1) + 1,
        max_steps=max_steps,
        competencies=tuple(competencies.split()),
        rooms=columns * rows,
    )


LEVELS: dict[str, Level] = {row[0]: _level(*row) for row in _ROWS}
MINIGRID_IDS = frozenset(level.env_id for level in LEVELS.values())  # without levels of one's own, which come later

# Skills of the EXPERT allocation in Ponti et al. 2023 (arXiv:2202.13914), Table 2, numbered from 0: 0 room,
# 1 distr_box, 2 distr, 3 goto, 4 put, 5 pickup, 6 loc, 7 maze.
EXPERT: dict[str, tuple[int, ...]] = {
    "GoToObj": (0,),
    "GoToRedBallGrey": (0, 1),
    "GoToRedBall": (0, 1, 2),
    "GoToLocal": (0, 1, 2, 3),
    "PutNextLocal": (0, 1, 2, 4),
    "PickupLoc": (0, 1, 2, 5, 6),
    "GoToObjMaze": (0, 7),
    "GoTo": (0, 1, 2, 3, 7),
}

SUITES: dict[str, tuple[str, ...]] = {
    "paper8": tuple(EXPERT),
    "single_room": tuple(level.name for level in LEVELS.values() if level.rooms == 1),
    "all": tuple(LEVELS),
}


def about(level: Level) -> str:
    """One line on a level: its size, step limit and competencies."""
    competencies = f": {' '.join(level.competencies)}" if level.competencies else ""
    return f"{level.width} x {level.height} tiles, at most {level.max_steps} steps{competencies}"


ABOUT: dict[str, str] = {level.name: about(level) for level in LEVELS.values()}

OWN_LEVELS = "POLYRAY_LEVELS"  # environment variable: modules, separated by commas, that register levels of one's own


def level_called(name: str) -> Level:
    """The level of this name: BabyAI's, one registered in this process, or one of the modules in POLYRAY_LEVELS.

    Raises:
        InputError: there is none, or a module in POLYRAY_LEVELS cannot be found.
    """
    if name not in LEVELS:
        for module in filter(None, os.environ.get(OWN_LEVELS, "").split(",")):
            _import(module.strip())
    return lookup(LEVELS, name, "level")


def _import(module: str) -> None:
    if not all(name.isidentifier() for name in module.split(".")):
        raise InputError(f"{OWN_LEVELS} holds names of modules, separated by commas; {module!r} is none.")
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # it is the module itself that imports what is not there
        raise InputError(
            f"{OWN_LEVELS} names the module {module!r}, which is not found: install it, or set PYTHONPATH."
        ) from error


def levels_of(suite: str | None, names: Sequence[str]) -> tuple[Level, ...]:
    """Levels of a suite, or the levels with these names.

    Raises:
        InputError: neither or both of suite and names, a name twice, or no suite or level of this name.
    """
    if (suite is None) == (not names):
        count = "neither is" if suite is None else "both are"
        raise InputError(f"Give either a suite ({', '.join(SUITES)}) or the names of levels; {count} given.")
    chosen = tuple(names) if suite is None else lookup(SUITES, suite, "suite of levels")
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if twice:
        raise InputError(f"The level {twice[0]!r} is given more than once; name each level once.")
    return tuple(level_called(name) for name in chosen)
