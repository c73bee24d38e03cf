"""Recipes by minigrid's level classes: which classes can be compiled, and the recipe for the options of a level."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from polyray.envs.engine.state import BLUE, GO_TO, PICK_UP, RED
from polyray.envs.generation.draft import ANY, LIMIT, STRIDE
from polyray.envs.generation.recipes import doors, locks, objects
from polyray.envs.generation.recipes.notation import Steps, store
from polyray.envs.generation.recipes.sentences import Grammar, sentence
from polyray.envs.generation.steps import END, N_ARGUMENTS, OPEN_ALL_DOORS, SET, Recipe
from polyray.envs.generation.variants import class_of
from polyray.envs.levels import Level

COLOUR_NUMBERS = {None: ANY, "red": RED, "blue": BLUE}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of minigrid's level classes under minigrid's names; no class has all of them."""

    room_size: int = 8
    num_rows: int = 3
    num_cols: int = 3
    num_dists: int = 0  # number of distractors; also num_objs, objs_per_room and num_doors
    doors_open: bool = False
    debug: bool = False
    strict: bool = False
    distractors: bool = False
    start_carrying: bool = False
    select_by: str | None = None
    first_color: str | None = None
    second_color: str | None = None


@dataclass(frozen=True, kw_only=True)
class Family:
    """One of minigrid's level classes: its recipe, its defaults, and whether it sets the step limit itself."""

    recipe: Callable[[Options], Steps]
    defaults: Options
    limited: bool = False


def _room(recipe: Callable[[Options], Steps], *, n: int = 0, size: int = 8) -> Family:
    return Family(recipe=recipe, defaults=Options(num_rows=1, num_cols=1, room_size=size, num_dists=n))


def _maze(recipe: Callable[[Options], Steps], *, n: int = 0, size: int = 8, limited: bool = False) -> Family:
    return Family(recipe=recipe, defaults=Options(num_dists=n, room_size=size), limited=limited)


def _row(recipe: Callable[[Options], Steps], *, columns: int, size: int = 6, limited: bool = True) -> Family:
    return Family(recipe=recipe, defaults=Options(num_rows=1, num_cols=columns, room_size=size), limited=limited)


def _go_to(options: Options) -> Steps:
    return [*objects.one_of_scattered(options.num_dists, GO_TO), *([(OPEN_ALL_DOORS,)] if options.doors_open else [])]


def _open_two(options: Options) -> Steps:
    colours = COLOUR_NUMBERS[options.first_color], COLOUR_NUMBERS[options.second_color]
    return doors.open_two_doors(*colours, options.strict)


def _sentences(grammar: Grammar, *, size: int = 8, rooms: int = 3) -> Family:
    defaults = Options(num_dists=grammar.n_distractors, room_size=size, num_rows=rooms, num_cols=rooms)
    return Family(recipe=lambda o: sentence(replace(grammar, n_distractors=o.num_dists)), defaults=defaults)


FAMILIES: dict[str, Family] = {
    "GoToRedBallGrey": _room(lambda o: objects.go_to_red_ball(o.num_dists, True), n=7),
    "GoToRedBall": _room(lambda o: objects.go_to_red_ball(o.num_dists, False), n=7),
    "GoToRedBallNoDists": _room(lambda _: objects.go_to_red_ball(0, False)),
    "GoToRedBlueBall": _room(lambda o: objects.go_to_red_or_blue_ball(o.num_dists), n=7),
    "GoToObj": _room(lambda _: objects.go_to_lone_object()),
    "GoToLocal": _room(_go_to, n=8),
    "GoTo": _maze(_go_to, n=18),
    "GoToImpUnlock": _maze(lambda _: locks.go_to_behind_lock()),
    "GoToSeq": _sentences(Grammar(locked_rooms=0, sided=False, unblocking=False, action=GO_TO)),
    "GoToDoor": _maze(lambda _: doors.go_to_door(), size=7),
    "GoToObjDoor": _maze(lambda _: objects.go_to_object_or_door()),
    "Open": _maze(lambda _: doors.open_any_door()),
    "OpenRedDoor": _row(lambda _: doors.open_red_door(), columns=2, size=5, limited=False),
    "OpenDoor": _maze(lambda o: doors.open_one_door(o.debug, o.select_by)),
    "OpenTwoDoors": _maze(_open_two, size=6, limited=True),
    "OpenDoorsOrder": _maze(lambda o: doors.open_doors_in_order(o.num_dists, o.debug), size=6, limited=True),
    "Pickup": _maze(lambda _: objects.one_of_scattered(18, PICK_UP)),
    "UnblockPickup": _maze(lambda _: objects.one_of_scattered(20, PICK_UP, reachable=0)),
    "PickupLoc": _sentences(
        Grammar(n_distractors=8, locked_rooms=0, unblocking=False, action=PICK_UP, n_forms=1), rooms=1
    ),
    "PickupDist": _room(lambda o: objects.pick_up_by_trait(o.debug), size=7),
    "PickupAbove": _maze(lambda _: doors.pick_up_above(), size=6, limited=True),
    "PutNextLocal": _room(lambda o: objects.put_next_in_room(o.num_dists), n=8),
    "PutNext": _row(lambda o: objects.put_next_across(o.num_dists, o.start_carrying), columns=2),
    "MoveTwoAcross": _row(lambda o: objects.move_two_across(o.num_dists), columns=2),
    "Unlock": _maze(lambda _: locks.unlock()),
    "UnlockLocal": _maze(lambda o: locks.unlock_in_room(o.distractors)),
    "KeyInBox": _maze(lambda _: locks.key_in_box()),
    "UnlockPickup": _row(lambda o: locks.unlock_and_pick_up_box(o.distractors, False), columns=2, limited=False),
    "BlockedUnlockPickup": _row(lambda _: locks.unlock_and_pick_up_box(False, True), columns=2),
    "UnlockToUnlock": _row(lambda _: locks.unlock_twice(), columns=3),
    "ActionObjDoor": _maze(lambda _: objects.any_action(), size=7),
    "FindObjS5": _maze(lambda _: doors.find_object(), size=5, limited=True),
    "KeyCorridor": _maze(lambda o: locks.key_corridor(o.num_rows), size=6, limited=True),
    "OneRoomS8": _room(lambda _: locks.one_room()),
    "Synth": _sentences(Grammar(sided=False, implicit=False, n_forms=1)),
    "SynthLoc": _sentences(Grammar(implicit=False, n_forms=1)),
    "SynthSeq": _sentences(Grammar(implicit=False)),
    "MiniBossLevel": _sentences(Grammar(n_distractors=7, locked_rooms=25), size=5, rooms=2),
    "BossLevel": _sentences(Grammar()),
    "BossLevelNoUnlock": _sentences(Grammar(locked_rooms=0, implicit=False)),
}
_SYNONYMS = {"num_objs": "num_dists", "objs_per_room": "num_dists", "num_doors": "num_dists"}
_OPTIONS = {field.name for field in fields(Options)}


def recipe_of(level: Level) -> Recipe | None:
    """Recipe [steps, 6] of a level; None if its class, one of its options or its size cannot be compiled."""
    name, arguments = class_of(level)
    family = FAMILIES.get(name)
    values = {_SYNONYMS.get(argument, argument): value for argument, value in arguments.items()}
    if family is None or not values.keys() <= _OPTIONS or max(level.width, level.height) > STRIDE:
        return None
    options = replace(family.defaults, **values)
    limit = [store(LIMIT, SET, level.max_steps)] if family.limited else []
    steps = [(options.room_size, options.num_rows, options.num_cols), *limit, *family.recipe(options), (END,)]
    return np.array([(*step, *(0,) * (N_ARGUMENTS - len(step))) for step in steps], np.int64)
