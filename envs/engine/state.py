"""The state of many BabyAI environments: one row per environment, in arrays that compiled code takes whole.

An environment's objects (doors, keys, balls, boxes, also those inside a box) have numbers from 2 to 63; 0 is an empty
cell and 1 a wall, so that the cells of the grid, the carried object and the contents of boxes are all such numbers and
a set of objects is one 64-bit integer (bit k = object k). Any numbering will do: it is never observed.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from polyray.envs.engine.compilation import compiled_entry
from polyray.envs.missions import LENGTH

N_OBJECTS = 64  # numbers of objects, 0 and 1 included
N_LEAVES = 4  # actions that one instruction can hold
EMPTY, WALL, FIRST_OBJECT = 0, 1, 2  # numbers of objects
NOWHERE = 255  # both coordinates of what is not on the grid

LOOK_EMPTY, LOOK_WALL, LOOK_DOOR, LOOK_KEY, LOOK_BALL, LOOK_BOX = 1, 2, 4, 5, 6, 7  # minigrid's object types
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)  # minigrid's colours
OPEN, CLOSED, LOCKED = range(3)  # minigrid's states of a door

NO_ACTION, GO_TO, OPEN_DOOR, PICK_UP, PUT_NEXT = range(5)  # kinds of a leaf
SINGLE, AND, BEFORE, AFTER = range(4)  # kinds of the root


# One environment, but for its grid. The instruction is a tree of at most four leaves. SINGLE: leaf 0. AND: leaves 0 and
# 1. BEFORE and AFTER: the first clause ("a") is leaf 0, the second ("b") leaf 2; a clause whose second leaf (1 or 3) is
# there too is an "and".
ROW: np.dtype[Any] = np.dtype(
    (
        np.record,
        [
            ("objects", np.uint64, N_LEAVES),  # the objects that will do (PUT_NEXT: to be moved)
            ("fixed", np.uint64, N_LEAVES),  # PUT_NEXT: the objects to put them next to
            ("task", np.int64),  # number of the environment's level
            ("steps", np.int32),  # since the start
            ("limit", np.int32),  # step at which the episode is truncated
            ("x", np.uint8),  # the agent's column
            ("y", np.uint8),  # the agent's row
            ("direction", np.uint8),  # 0 right, 1 down, 2 left, 3 up
            ("carried", np.uint8),  # number of the carried object, 0: none
            ("kind", np.uint8, N_LEAVES),  # NO_ACTION, GO_TO, OPEN_DOOR, PICK_UP or PUT_NEXT
            ("strict", np.uint8, N_LEAVES),  # 1: acting on a wrong object fails
            ("done", np.uint8, N_LEAVES),  # 1: leaves that have succeeded, where that is remembered
            ("held", np.uint8, N_LEAVES),  # what was carried when the leaf was last verified (0: never)
            ("root", np.uint8),  # SINGLE, AND, BEFORE or AFTER
            ("root_strict", np.uint8),  # 1: doing the second clause too early fails
            ("mission", np.uint8, LENGTH),  # the instruction's words (missions.encode)
            ("looks", np.uint8, (N_OBJECTS, 3)),  # type, colour, state of each number, as minigrid encodes them
            ("contents", np.uint8, N_OBJECTS),  # number of what a box holds, 0: nothing
            ("place", np.uint8, (N_OBJECTS, 2)),  # x, y of each object; NOWHERE once picked up, opened, or in a box
            ("known", np.uint8, (N_OBJECTS, 2)),  # its place at the start or, if later, at the last drop action
        ],
    )
)


class State(NamedTuple):
    """N environments on grids of H rows and W columns; cells beyond a smaller level's grid are walls."""

    grid: NDArray[np.uint8]  # [N, H, W] number of the object in each cell, indexed [environment, y, x]
    rows: NDArray[np.record]  # [N] of ROW; its fields are the properties below

    # Compiled code takes row n by `world = state.rows[n]` and its fields as `world.looks[number, 0]`: a pointer to pass
    # around. (Passing a State on, or its arrays, counts references at every call: twenty times slower.)

    def at(self, rows: NDArray[np.int64] | list[int]) -> "State":
        """A copy of these rows."""
        return State(grid=self.grid[rows], rows=self.rows[rows])

    @property
    def x(self) -> NDArray[np.uint8]:
        """[N] the agent's column."""
        return self.rows["x"]

    @property
    def y(self) -> NDArray[np.uint8]:
        """[N] the agent's row."""
        return self.rows["y"]

    @property
    def direction(self) -> NDArray[np.uint8]:
        """[N] where the agent looks: 0 right, 1 down, 2 left, 3 up."""
        return self.rows["direction"]

    @property
    def carried(self) -> NDArray[np.uint8]:
        """[N] number of the carried object, 0: none."""
        return self.rows["carried"]

    @property
    def steps(self) -> NDArray[np.int32]:
        """[N] steps since the start."""
        return self.rows["steps"]

    @property
    def limit(self) -> NDArray[np.int32]:
        """[N] step at which the episode is truncated."""
        return self.rows["limit"]

    @property
    def looks(self) -> NDArray[np.uint8]:
        """[N, 64, 3] type, colour, state of each number."""
        return self.rows["looks"]

    @property
    def contents(self) -> NDArray[np.uint8]:
        """[N, 64] number of what a box holds, 0: nothing."""
        return self.rows["contents"]

    @property
    def place(self) -> NDArray[np.uint8]:
        """[N, 64, 2] x, y where each object is, or NOWHERE."""
        return self.rows["place"]

    @property
    def known(self) -> NDArray[np.uint8]:
        """[N, 64, 2] x, y where the instruction knows it, or NOWHERE."""
        return self.rows["known"]

    @property
    def root(self) -> NDArray[np.uint8]:
        """[N] SINGLE, AND, BEFORE or AFTER."""
        return self.rows["root"]

    @property
    def root_strict(self) -> NDArray[np.uint8]:
        """[N] 1: doing the second clause too early fails."""
        return self.rows["root_strict"]

    @property
    def kind(self) -> NDArray[np.uint8]:
        """[N, 4] what each leaf asks for."""
        return self.rows["kind"]

    @property
    def strict(self) -> NDArray[np.uint8]:
        """[N, 4] 1: acting on a wrong object fails."""
        return self.rows["strict"]

    @property
    def objects(self) -> NDArray[np.uint64]:
        """[N, 4] the objects that will do."""
        return self.rows["objects"]

    @property
    def fixed(self) -> NDArray[np.uint64]:
        """[N, 4] PUT_NEXT: the objects to put them next to."""
        return self.rows["fixed"]

    @property
    def done(self) -> NDArray[np.uint8]:
        """[N, 4] 1: leaves that have succeeded."""
        return self.rows["done"]

    @property
    def held(self) -> NDArray[np.uint8]:
        """[N, 4] the object carried when the leaf was last verified."""
        return self.rows["held"]

    @property
    def mission(self) -> NDArray[np.uint8]:
        """[N, LENGTH] the instruction's words."""
        return self.rows["mission"]

    @property
    def task(self) -> NDArray[np.int64]:
        """[N] number of the environment's level."""
        return self.rows["task"]


def empty(n: int, height: int, width: int) -> State:
    """n environments on grids of walls, without objects or instruction, ready to be filled in.

    Object numbers 0 and 1 look like an empty cell and a wall; every place is NOWHERE; all else is 0.
    """
    rows = np.zeros(n, ROW)
    rows["looks"][:, EMPTY] = (LOOK_EMPTY, 0, 0)
    rows["looks"][:, WALL] = (LOOK_WALL, GREY, 0)
    rows["place"] = rows["known"] = NOWHERE
    return State(grid=np.full((n, height, width), WALL, np.uint8), rows=rows)


@compiled_entry
def copy_rows(source: State, rows: NDArray[np.int64], target: State, into: NDArray[np.int64]) -> None:
    """Overwrites row into[i] of `target` with row rows[i] of `source`, but for `task`, which stays the target's.

    The target's grid may be larger: what lies beyond the source's is wall, as minigrid shows it.

    Raises:
        ValueError: the source's grid does not fit.
    """
    height, width = source.grid.shape[1], source.grid.shape[2]
    if height > target.grid.shape[1] or width > target.grid.shape[2]:
        raise ValueError("copy_rows: the source's grid is larger than the target's")
    for i in range(len(rows)):
        task = target.rows[into[i]].task
        target.rows[into[i]] = source.rows[rows[i]]
        target.rows[into[i]].task = task
        for y in range(target.grid.shape[1]):
            for x in range(target.grid.shape[2]):
                inside = y < height and x < width
                target.grid[into[i], y, x] = source.grid[rows[i], y, x] if inside else WALL
