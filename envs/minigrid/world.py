"""One environment of the batched engine as minigrid's own objects: what minigrid's drawing and its bot work on."""

import numpy as np
from minigrid.core.world_object import Box, Door, WorldObj
from minigrid.envs.babyai.core.roomgrid_level import BabyAIMissionSpace
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
)
from minigrid.minigrid_env import MiniGridEnv

from polyray.envs.engine.state import (
    AND,
    BEFORE,
    EMPTY,
    FIRST_OBJECT,
    GO_TO,
    LOCKED,
    N_OBJECTS,
    NO_ACTION,
    NOWHERE,
    OPEN,
    OPEN_DOOR,
    PICK_UP,
    SINGLE,
    State,
)
from polyray.envs.levels import Level
from polyray.envs.missions import decode


class World(MiniGridEnv):
    """What row `row` of `state` holds, as a minigrid environment to be looked at; `look` brings it up to date.

    It has no dynamics of its own: `step` and `reset` are the engine's business. Objects keep their identity from one
    look to the next, as the bot expects, until another episode begins (then make another world). Objects of the
    instruction are known by what they are, not by a description.
    """

    def __init__(self, state: State, row: int, level: Level) -> None:
        super().__init__(BabyAIMissionSpace(), width=level.width, height=level.height, max_steps=1)
        self._state, self._row = state, row
        self._numbers = np.full((level.height, level.width), EMPTY, np.uint8)
        looks, used = state.looks[row], range(N_OBJECTS)
        self._objects = [WorldObj.decode(*(int(part) for part in looks[k])) if looks[k, 0] else None for k in used]
        for box, inside in enumerate(state.contents[row]):
            found = self._objects[box]
            if inside and isinstance(found, Box):
                found.contains = self._objects[inside]
        self.mission = decode(state.mission[row])
        self.max_steps = int(state.limit[row])
        self._descriptions: list[tuple[ObjDesc, list[int]]] = []
        self.instrs = self._instruction()
        self.look()

    def look(self) -> None:
        """Take over what the engine has changed since."""
        state, row = self._state, self._row
        self.agent_pos = int(state.x[row]), int(state.y[row])
        self.agent_dir = int(state.direction[row])
        self.step_count = int(state.steps[row])
        self.carrying = self._objects[state.carried[row]] if state.carried[row] else None
        self._look_at_objects()
        numbers = state.grid[row, : self.height, : self.width]
        for y, x in np.argwhere(numbers != self._numbers).tolist():
            self.grid.set(x, y, self._objects[numbers[y, x]])
        self._numbers = numbers.copy()
        for description, objects in self._descriptions:
            believed = [(int(x), int(y)) for x, y in state.known[row, objects] if x != NOWHERE]
            description.obj_poss = sorted(believed)

    def room_from_pos(self, x: int, y: int) -> None:
        """No room: only descriptions by place ask for it, and there are none here."""

    def _gen_grid(self, width: int, height: int) -> None:
        """Nothing: levels are made elsewhere."""

    def _look_at_objects(self) -> None:
        for number in range(FIRST_OBJECT, N_OBJECTS):
            found = self._objects[number]
            if found is None:
                continue
            x, y = self._state.place[self._row, number].tolist()
            found.cur_pos = (-1, -1) if x == NOWHERE else (x, y)
            if isinstance(found, Door):
                condition = self._state.looks[self._row, number, 2]
                found.is_open, found.is_locked = bool(condition == OPEN), bool(condition == LOCKED)

    def _instruction(self) -> Instr:
        root = self._state.root[self._row]
        if root == SINGLE:
            return self._action(0)
        if root == AND:
            return AndInstr(self._action(0), self._action(1))
        kind = BeforeInstr if root == BEFORE else AfterInstr
        return kind(self._clause(0), self._clause(2))

    def _clause(self, leaf: int) -> Instr:
        if self._state.kind[self._row, leaf + 1] == NO_ACTION:
            return self._action(leaf)
        return AndInstr(self._action(leaf), self._action(leaf + 1))

    def _action(self, leaf: int) -> Instr:
        kind, strict = self._state.kind[self._row, leaf], bool(self._state.strict[self._row, leaf])
        wanted = self._description(int(self._state.objects[self._row, leaf]), "door" if kind == OPEN_DOOR else None)
        if kind == GO_TO:
            return GoToInstr(wanted)
        if kind == OPEN_DOOR:
            return OpenInstr(wanted, strict)
        if kind == PICK_UP:
            return PickupInstr(wanted, strict)
        return PutNextInstr(wanted, self._description(int(self._state.fixed[self._row, leaf]), None), strict)

    def _description(self, mask: int, kind: str | None) -> ObjDesc:
        """The objects of a bit mask in minigrid's order: column by column of the grid, those not on it last."""
        known = self._state.known[self._row]
        numbers = sorted((k for k in range(N_OBJECTS) if mask >> k & 1), key=lambda k: tuple(known[k]))
        description = ObjDesc(kind)
        description.obj_set = [self._objects[k] for k in numbers]
        self._descriptions.append((description, numbers))
        return description
