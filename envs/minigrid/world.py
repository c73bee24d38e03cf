"""One environment of the engine as minigrid's own objects, for minigrid's drawing and its bot."""

from typing import Any, NoReturn

import numpy as np
from minigrid.core.grid import Grid
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
from numpy.typing import NDArray

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
from polyray.errors import InputError

NOT_CHANGED = (
    "The compiled engine keeps the state of the environment, and what is written into minigrid's objects would be "
    'ignored. Begin in a state of your own instead: reset(options={"start": state}).'
)


class _ReadOnlyGrid(Grid):
    """minigrid's grid, which refuses to be changed by anybody but the world that shows it."""

    def set(self, i: int, j: int, v: WorldObj | None) -> NoReturn:
        """Refuse to change a cell.

        Raises:
            InputError: always.
        """
        raise InputError(NOT_CHANGED)

    def show(self, x: int, y: int, item: WorldObj | None) -> None:
        """Set a cell as the engine has it."""
        self.grid[y * self.width + x] = item


class World(MiniGridEnv):
    """View of row `row` of `state` as one of minigrid's environments; `look` brings it up to date.

    It has no dynamics of its own: the engine steps and resets. Objects keep their identity from one look to the next,
    as the bot expects, until another episode begins (then make another world). The instruction refers to its objects
    directly, not by descriptions. `agent_view_size` and `see_through_walls` may be set.
    """

    grid: _ReadOnlyGrid

    def __init__(self, state: State, row: int, level: Level) -> None:
        super().__init__(BabyAIMissionSpace(), width=level.width, height=level.height, max_steps=1)
        self.grid = _ReadOnlyGrid(level.width, level.height)
        self._state, self._row = state, row
        self._numbers = np.full((level.height, level.width), EMPTY, np.uint8)
        self._objects = [WorldObj.decode(*look) if look[0] else None for look in state.looks[row].tolist()]
        for number, content in enumerate(state.contents[row]):
            box = self._objects[number]
            if content and isinstance(box, Box):
                box.contains = self._objects[content]
        self.mission = decode(state.mission[row])
        self._descriptions: list[tuple[ObjDesc, list[int]]] = []
        self.instrs = self._instruction()
        self.look()

    def look(self) -> None:
        """Take over the changes that the engine has made since the last look."""
        state, row = self._state, self._row
        position: Any = np.int64(state.x[row]), np.int64(state.y[row])  # the type that minigrid has, and hashes
        self.agent_pos = position
        self.agent_dir = int(state.direction[row])
        self.step_count, self.max_steps = int(state.steps[row]), int(state.limit[row])
        self.carrying = self._objects[state.carried[row]] if state.carried[row] else None
        self._look_at_objects()
        numbers = state.grid[row, : self.height, : self.width]
        for y, x in np.argwhere(numbers != self._numbers).tolist():
            self.grid.show(x, y, self._objects[numbers[y, x]])
        self._numbers = numbers.copy()
        for description, objects in self._descriptions:
            believed = [(int(x), int(y)) for x, y in state.believed_position[row, objects] if x != NOWHERE]
            description.obj_poss = sorted(believed)

    def image(self) -> NDArray[np.uint8]:
        """The agent's view at the last look, [agent_view_size, agent_view_size, 3]."""
        image: NDArray[np.uint8] = self.gen_obs()["image"]
        return image

    def first_image(self) -> NDArray[np.uint8]:
        """The agent's first view of an episode (`observe_start`): an object carried from the start still lies there."""
        item: Any = self.carrying
        if item is None or item.cur_pos == (-1, -1):
            return self.image()
        self.carrying = None
        x, y = item.cur_pos
        self.grid.show(x, y, item)
        image = self.image()
        self.carrying = item
        self.grid.show(x, y, None)
        return image

    def room_from_pos(self, x: int, y: int) -> None:
        """Return no room: only descriptions that mention a side ask for it, and there are none here."""

    def _gen_grid(self, width: int, height: int) -> None:
        """Generate nothing: start states come from `envs.starts`."""

    def _look_at_objects(self) -> None:
        for number in range(FIRST_OBJECT, N_OBJECTS):
            item = self._objects[number]
            if item is None:
                continue
            x, y = self._state.position[self._row, number].tolist()
            item.cur_pos = (-1, -1) if x == NOWHERE else (x, y)
            if isinstance(item, Door):
                condition = self._state.looks[self._row, number, 2]
                item.is_open, item.is_locked = bool(condition == OPEN), bool(condition == LOCKED)

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
        targets = self._description(int(self._state.objects[self._row, leaf]), "door" if kind == OPEN_DOOR else None)
        if kind == GO_TO:
            return GoToInstr(targets)
        if kind == OPEN_DOOR:
            return OpenInstr(targets, strict)
        if kind == PICK_UP:
            return PickupInstr(targets, strict)
        return PutNextInstr(targets, self._description(int(self._state.fixed[self._row, leaf]), None), strict)

    def _description(self, mask: int, kind: str | None) -> ObjDesc:
        """Description of a set of objects in minigrid's order: column by column of the grid, objects not on it last."""
        positions = self._state.believed_position[self._row].tolist()
        numbers = sorted((k for k in range(N_OBJECTS) if mask >> k & 1), key=lambda k: positions[k])
        description = ObjDesc(kind)
        description.obj_set = [self._objects[k] for k in numbers]
        self._descriptions.append((description, numbers))
        return description
