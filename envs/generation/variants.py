"""minigrid's class and options of every level that minigrid registers, so that compiled levels do not need minigrid."""

import importlib
from collections.abc import Mapping
from typing import Any

import gymnasium

from polyray.envs.levels import MINIGRID_IDS, Level

Options = Mapping[str, Any]

# Level: the class that minigrid registers it with, and its arguments. All others are classes of their own name.
VARIANTS: Mapping[str, tuple[str, Options]] = {
    "GoToObjS4": ("GoToObj", {"room_size": 4}),
    "GoToObjS6": ("GoToObj", {"room_size": 6}),
    "GoToLocalS5N2": ("GoToLocal", {"room_size": 5, "num_dists": 2}),
    "GoToLocalS6N2": ("GoToLocal", {"room_size": 6, "num_dists": 2}),
    "GoToLocalS6N3": ("GoToLocal", {"room_size": 6, "num_dists": 3}),
    "GoToLocalS6N4": ("GoToLocal", {"room_size": 6, "num_dists": 4}),
    "GoToLocalS7N4": ("GoToLocal", {"room_size": 7, "num_dists": 4}),
    "GoToLocalS7N5": ("GoToLocal", {"room_size": 7, "num_dists": 5}),
    "GoToLocalS8N2": ("GoToLocal", {"room_size": 8, "num_dists": 2}),
    "GoToLocalS8N3": ("GoToLocal", {"room_size": 8, "num_dists": 3}),
    "GoToLocalS8N4": ("GoToLocal", {"room_size": 8, "num_dists": 4}),
    "GoToLocalS8N5": ("GoToLocal", {"room_size": 8, "num_dists": 5}),
    "GoToLocalS8N6": ("GoToLocal", {"room_size": 8, "num_dists": 6}),
    "GoToLocalS8N7": ("GoToLocal", {"room_size": 8, "num_dists": 7}),
    "GoToOpen": ("GoTo", {"doors_open": True}),
    "GoToObjMaze": ("GoTo", {"num_dists": 1, "doors_open": False}),
    "GoToObjMazeOpen": ("GoTo", {"num_dists": 1, "doors_open": True}),
    "GoToObjMazeS4R2": ("GoTo", {"num_dists": 1, "room_size": 4, "num_rows": 2, "num_cols": 2}),
    "GoToObjMazeS4": ("GoTo", {"num_dists": 1, "room_size": 4}),
    "GoToObjMazeS5": ("GoTo", {"num_dists": 1, "room_size": 5}),
    "GoToObjMazeS6": ("GoTo", {"num_dists": 1, "room_size": 6}),
    "GoToObjMazeS7": ("GoTo", {"num_dists": 1, "room_size": 7}),
    "GoToSeqS5R2": ("GoToSeq", {"room_size": 5, "num_rows": 2, "num_cols": 2, "num_dists": 4}),
    "OpenDoorDebug": ("OpenDoor", {"debug": True, "select_by": None}),
    "OpenDoorColor": ("OpenDoor", {"select_by": "color"}),
    "OpenDoorLoc": ("OpenDoor", {"select_by": "loc"}),
    "OpenRedBlueDoors": ("OpenTwoDoors", {"first_color": "red", "second_color": "blue"}),
    "OpenRedBlueDoorsDebug": ("OpenTwoDoors", {"first_color": "red", "second_color": "blue", "strict": True}),
    "OpenDoorsOrderN2": ("OpenDoorsOrder", {"num_doors": 2}),
    "OpenDoorsOrderN4": ("OpenDoorsOrder", {"num_doors": 4}),
    "OpenDoorsOrderN2Debug": ("OpenDoorsOrder", {"debug": True, "num_doors": 2}),
    "OpenDoorsOrderN4Debug": ("OpenDoorsOrder", {"debug": True, "num_doors": 4}),
    "PickupDistDebug": ("PickupDist", {"debug": True}),
    "PutNextLocalS5N3": ("PutNextLocal", {"room_size": 5, "num_objs": 3}),
    "PutNextLocalS6N4": ("PutNextLocal", {"room_size": 6, "num_objs": 4}),
    "PutNextS4N1": ("PutNext", {"room_size": 4, "objs_per_room": 1}),
    "PutNextS5N2": ("PutNext", {"room_size": 5, "objs_per_room": 2}),
    "PutNextS5N1": ("PutNext", {"room_size": 5, "objs_per_room": 1}),
    "PutNextS6N3": ("PutNext", {"room_size": 6, "objs_per_room": 3}),
    "PutNextS7N4": ("PutNext", {"room_size": 7, "objs_per_room": 4}),
    "PutNextS5N2Carrying": ("PutNext", {"room_size": 5, "objs_per_room": 2, "start_carrying": True}),
    "PutNextS6N3Carrying": ("PutNext", {"room_size": 6, "objs_per_room": 3, "start_carrying": True}),
    "PutNextS7N4Carrying": ("PutNext", {"room_size": 7, "objs_per_room": 4, "start_carrying": True}),
    "UnlockLocalDist": ("UnlockLocal", {"distractors": True}),
    "UnlockPickupDist": ("UnlockPickup", {"distractors": True}),
    "FindObjS6": ("FindObjS5", {"room_size": 6}),
    "FindObjS7": ("FindObjS5", {"room_size": 7}),
    "KeyCorridorS3R1": ("KeyCorridor", {"room_size": 3, "num_rows": 1}),
    "KeyCorridorS3R2": ("KeyCorridor", {"room_size": 3, "num_rows": 2}),
    "KeyCorridorS3R3": ("KeyCorridor", {"room_size": 3, "num_rows": 3}),
    "KeyCorridorS4R3": ("KeyCorridor", {"room_size": 4, "num_rows": 3}),
    "KeyCorridorS5R3": ("KeyCorridor", {"room_size": 5, "num_rows": 3}),
    "KeyCorridorS6R3": ("KeyCorridor", {"room_size": 6, "num_rows": 3}),
    "OneRoomS12": ("OneRoomS8", {"room_size": 12}),
    "OneRoomS16": ("OneRoomS8", {"room_size": 16}),
    "OneRoomS20": ("OneRoomS8", {"room_size": 20}),
    "MoveTwoAcrossS5N2": ("MoveTwoAcross", {"room_size": 5, "objs_per_room": 2}),
    "MoveTwoAcrossS8N9": ("MoveTwoAcross", {"room_size": 8, "objs_per_room": 9}),
    "SynthS5R2": ("Synth", {"room_size": 5, "num_rows": 2}),
}


def class_of(level: Level) -> tuple[str, Options]:
    """Name of minigrid's class and arguments of a level: of a level of one's own, those registered with gymnasium.

    Raises:
        gymnasium.error.NameNotFound: nobody registered the level.
    """
    if level.env_id in MINIGRID_IDS:
        return VARIANTS.get(level.name, (level.name, {}))
    module, _, env_id = level.env_id.rpartition(":")
    if module:
        importlib.import_module(module)  # as gymnasium.make does, and gymnasium.spec does not
    spec = gymnasium.spec(env_id)
    return str(spec.entry_point).removeprefix("minigrid.envs.babyai:"), spec.kwargs
