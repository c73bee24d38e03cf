"""Start states of minigrid's own environments, captured in rows of the engine's state."""

from typing import cast

from minigrid.core.world_object import Ball, Box, Door, Key, Wall, WorldObj
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from minigrid.envs.babyai.core.verifier import (
    AfterInstr,
    AndInstr,
    BeforeInstr,
    GoToInstr,
    Instr,
    ObjDesc,
    OpenInstr,
    PickupInstr,
    PutNextInstr,
    SeqInstr,
)

from polyray.envs.engine.state import (
    AFTER,
    AND,
    BEFORE,
    EMPTY,
    FIRST_OBJECT,
    GO_TO,
    N_OBJECTS,
    NOWHERE,
    OPEN_DOOR,
    PICK_UP,
    PUT_NEXT,
    SINGLE,
    WALL,
    State,
    empty,
)
from polyray.envs.missions import encode

Numbers = dict[int, int]  # number of each object, by its identity


def capture(env: RoomGridLevel, state: State, row: int) -> None:
    """Overwrite a row of `state`, except its task, with the state of an unwrapped environment that was just reset.

    Objects are numbered from 2 as they come in the grid, row by row; then a carried one; then what boxes hold.

    Raises:
        ValueError: the environment has taken steps, its grid does not fit, or it holds an object or an instruction that
            no level of BabyAI has.
    """
    if env.step_count:
        raise ValueError("capture: the environment has taken steps; only a start state can be captured.")
    if env.height > state.grid.shape[1] or env.width > state.grid.shape[2]:
        raise ValueError(f"capture: a grid of {env.height} rows and {env.width} columns does not fit the state.")
    task = state.task[row]
    state.rows[row], state.grid[row] = empty(1, 1, 1).rows[0], WALL
    state.task[row] = task
    state.mission[row] = encode(env.mission)
    state.x[row], state.y[row] = env.agent_pos
    state.direction[row] = env.agent_dir
    state.limit[row] = env.max_steps
    objects = _objects_of(env)
    numbers = {id(item): number for number, item in enumerate(objects, FIRST_OBJECT)}
    _capture_objects(env, objects, numbers, state, row)
    _capture_instruction(env.instrs, numbers, state, row)  # type: ignore[attr-defined]  # every level's gen_mission sets it


def _objects_of(env: RoomGridLevel) -> list[WorldObj]:
    objects = [cell for cell in env.grid.grid if cell is not None and not _is_wall(cell)]
    if (carried := _carried(env)) is not None:
        objects.append(carried)
    for item in objects:  # grows while boxes show their contents
        if (content := _content(item)) is not None:
            objects.append(content)
    if len(objects) > N_OBJECTS - FIRST_OBJECT:
        raise ValueError(f"capture: {len(objects)} objects; at most {N_OBJECTS - FIRST_OBJECT} have a number.")
    return objects


def _is_wall(cell: WorldObj) -> bool:
    return type(cell) is Wall and cell.color == "grey"


def _carried(env: RoomGridLevel) -> WorldObj | None:
    return cast("WorldObj | None", env.carrying)


def _content(item: WorldObj) -> WorldObj | None:
    return cast("WorldObj | None", item.contains)


def _capture_objects(env: RoomGridLevel, objects: list[WorldObj], numbers: Numbers, state: State, row: int) -> None:
    for index, cell in enumerate(env.grid.grid):
        y, x = divmod(index, env.width)
        state.grid[row, y, x] = EMPTY if cell is None else numbers.get(id(cell), WALL)
        if id(cell) in numbers:
            state.position[row, numbers[id(cell)]] = (x, y)
    for number, item in enumerate(objects, FIRST_OBJECT):
        state.looks[row, number] = _look(item)
        if (content := _content(item)) is not None:
            state.contents[row, number] = numbers[id(content)]
    if (carried := _carried(env)) is not None:  # from the start; minigrid leaves its position as it was
        state.carried[row] = numbers[id(carried)]
        state.position[row, numbers[id(carried)]] = carried.cur_pos or (NOWHERE, NOWHERE)
    state.believed_position[row] = state.position[row]


def _look(item: WorldObj) -> tuple[int, int, int]:
    if type(item) not in (Door, Key, Ball, Box) or (isinstance(item, Door) and item.is_open and item.is_locked):
        raise ValueError(f"capture: BabyAI's levels hold no {item.color} {item.type} like this.")
    return item.encode()


def _capture_instruction(instruction: Instr, numbers: Numbers, state: State, row: int) -> None:
    if isinstance(instruction, SeqInstr) and type(instruction) not in (BeforeInstr, AfterInstr, AndInstr):
        raise ValueError(f"capture: {type(instruction).__name__} is no sequence of BabyAI's language.")
    if isinstance(instruction, BeforeInstr | AfterInstr):
        state.root[row] = BEFORE if isinstance(instruction, BeforeInstr) else AFTER
        state.root_strict[row] = instruction.strict
        _capture_clause(instruction.instr_a, 0, numbers, state, row)
        _capture_clause(instruction.instr_b, 2, numbers, state, row)
    else:
        state.root[row] = AND if isinstance(instruction, AndInstr) else SINGLE
        _capture_clause(instruction, 0, numbers, state, row)


def _capture_clause(instruction: Instr, leaf: int, numbers: Numbers, state: State, row: int) -> None:
    if isinstance(instruction, AndInstr):
        _capture_leaf(instruction.instr_a, leaf, numbers, state, row)
        _capture_leaf(instruction.instr_b, leaf + 1, numbers, state, row)
    else:
        _capture_leaf(instruction, leaf, numbers, state, row)


def _capture_leaf(instruction: Instr, leaf: int, numbers: Numbers, state: State, row: int) -> None:
    if type(instruction) not in (GoToInstr, OpenInstr, PickupInstr, PutNextInstr):  # a subclass may verify otherwise
        raise ValueError(f"capture: {type(instruction).__name__} is no instruction of BabyAI's language.")
    match instruction:
        case GoToInstr():
            state.kind[row, leaf] = GO_TO
            state.objects[row, leaf] = _objects(instruction.desc, numbers)
        case OpenInstr():
            state.kind[row, leaf], state.strict[row, leaf] = OPEN_DOOR, instruction.strict
            state.objects[row, leaf] = _objects(instruction.desc, numbers)
        case PickupInstr():
            state.kind[row, leaf], state.strict[row, leaf] = PICK_UP, instruction.strict
            state.objects[row, leaf] = _objects(instruction.desc, numbers, walls=True)
        case PutNextInstr():
            state.kind[row, leaf], state.strict[row, leaf] = PUT_NEXT, instruction.strict
            state.objects[row, leaf] = _objects(instruction.desc_move, numbers)
            state.fixed[row, leaf] = _objects(instruction.desc_fixed, numbers)


def _objects(description: ObjDesc, numbers: Numbers, walls: bool = False) -> int:
    """Set of the objects that match a description; `walls`: it may match walls too ("pick up a grey object")."""
    if type(description) is not ObjDesc:
        raise ValueError(f"capture: {type(description).__name__} is no description of BabyAI's language.")
    described = [numbers.get(id(item), WALL) for item in description.obj_set]
    if WALL in described and not walls:
        raise ValueError(f"capture: {description} describes walls, which BabyAI's levels never ask to go to.")
    return sum(1 << number for number in described if number != WALL)
