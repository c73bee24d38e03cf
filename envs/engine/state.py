"""State of many BabyAI environments: one row per environment, in arrays that compiled code takes whole.

An environment's objects (doors, keys, balls, boxes, also those inside a box) have numbers from 2 to 63; 0 is an empty
cell and 1 a wall. Cells of the grid, the carried object and the contents of boxes are all such numbers, and a set of
objects is one 64-bit integer (bit k is object k). The numbering is arbitrary: no observation depends on it.
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


# One environment without its grid. The instruction is a tree of at most four leaves. SINGLE: leaf 0. AND: leaves 0 and
# 1. BEFORE and AFTER: the first clause ("a") is leaf 0, the second ("b") leaf 2; a clause that also has its second leaf
# (1 or 3) is an "and".
ROW: np.dtype[Any] = np.dtype(
    (
        np.record,
        [
            ("objects", np.uint64, N_LEAVES),  # set of objects that fulfil the leaf (PUT_NEXT: objects to move)
            ("fixed", np.uint64, N_LEAVES),  # PUT_NEXT: set of objects to put one next to
            ("level", np.uint64),  # code of the level that the state is of (`Level.code`), 0: not stated
            ("task", np.int64),  # number of the environment's level
            ("steps", np.int32),  # since the start
            ("limit", np.int32),  # step at which the episode is truncated
            ("x", np.uint8),  # the agent's column
            ("y", np.uint8),  # the agent's row
            ("direction", np.uint8),  # 0 right, 1 down, 2 left, 3 up
            ("carried", np.uint8),  # number of the carried object, 0: none
            ("kind", np.uint8, N_LEAVES),  # NO_ACTION, GO_TO, OPEN_DOOR, PICK_UP or PUT_NEXT
            ("strict", np.uint8, N_LEAVES),  # 1: acting on a wrong object fails
            ("done", np.uint8, N_LEAVES),  # 1: the leaf has succeeded; for clauses that need two leaves or come first
            ("carried_before", np.uint8, N_LEAVES),  # object carried when the leaf was last verified, 0: none
            ("root", np.uint8),  # SINGLE, AND, BEFORE or AFTER
            ("root_strict", np.uint8),  # 1: doing the second clause too early fails
            ("mission", np.uint8, LENGTH),  # the instruction's words (missions.encode)
            ("looks", np.uint8, (N_OBJECTS, 3)),  # type, colour, state of each number, as minigrid encodes them
            ("contents", np.uint8, N_OBJECTS),  # number of what a box holds, 0: nothing
            ("position", np.uint8, (N_OBJECTS, 2)),  # x, y of each object; NOWHERE: carried, an opened box, or in a box
            ("believed_position", np.uint8, (N_OBJECTS, 2)),  # its position at the start or at the last drop action
        ],
    )
)


class State(NamedTuple):
    """State of N environments on grids of H rows and W columns; cells beyond a smaller level's grid are walls.

    Its properties are views of `rows`, made at each access. An object keeps the State and none of the views, which
    `copy.deepcopy` and pickle would part from it: then its copies go on exactly as it does.
    """

    grid: NDArray[np.uint8]  # [N, H, W] number of the object in each cell, indexed [environment, y, x]
    rows: NDArray[np.record]  # [N] of ROW; its fields are the properties below

    # Compiled code takes row n by `world = state.rows[n]` and its fields as `world.looks[number, 0]`: a pointer to pass
    # around. (Passing a State on, or its arrays, counts references at every call: twenty times slower.)

    def at(self, rows: NDArray[np.int64] | list[int]) -> "State":
        """A copy of these rows."""
        return State(grid=self.grid[rows], rows=self.rows[rows])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The grid and every field of the rows, by name; they are views, so that what is written into them stays."""
        return {"grid": self.grid, **{name: self.rows[name] for name in self.rows.dtype.names or ()}}

    @property
    def x(self) -> NDArray[np.uint8]:
        """Column of each agent, [N]."""
        return self.rows["x"]

    @property
    def y(self) -> NDArray[np.uint8]:
        """Row of the grid in which each agent stands, [N]."""
        return self.rows["y"]

    @property
    def direction(self) -> NDArray[np.uint8]:
        """Direction in which each agent looks, [N]: 0 right, 1 down, 2 left, 3 up."""
        return self.rows["direction"]

    @property
    def carried(self) -> NDArray[np.uint8]:
        """Number of the object that each agent carries, [N]; 0: none."""
        return self.rows["carried"]

    @property
    def steps(self) -> NDArray[np.int32]:
        """Steps since the episode began, [N]."""
        return self.rows["steps"]

    @property
    def limit(self) -> NDArray[np.int32]:
        """Step at which each episode is truncated, [N]."""
        return self.rows["limit"]

    @property
    def looks(self) -> NDArray[np.uint8]:
        """Type, colour and state of each object as minigrid encodes them, [N, 64, 3]."""
        return self.rows["looks"]

    @property
    def contents(self) -> NDArray[np.uint8]:
        """Number of the object in each box, [N, 64]; 0: nothing."""
        return self.rows["contents"]

    @property
    def position(self) -> NDArray[np.uint8]:
        """Coordinates x, y of each object, [N, 64, 2], or NOWHERE."""
        return self.rows["position"]

    @property
    def believed_position(self) -> NDArray[np.uint8]:
        """Coordinates x, y at which the instruction looks for each object, [N, 64, 2], or NOWHERE.

        minigrid's instructions note positions at the start and after each drop action, and nothing in between.
        """
        return self.rows["believed_position"]

    @property
    def root(self) -> NDArray[np.uint8]:
        """Form of each instruction, [N]: SINGLE, AND, BEFORE or AFTER."""
        return self.rows["root"]

    @property
    def root_strict(self) -> NDArray[np.uint8]:
        """Whether doing the second clause too early fails, [N] of 0 and 1."""
        return self.rows["root_strict"]

    @property
    def kind(self) -> NDArray[np.uint8]:
        """Action that each leaf asks for, [N, 4]: NO_ACTION, GO_TO, OPEN_DOOR, PICK_UP or PUT_NEXT."""
        return self.rows["kind"]

    @property
    def strict(self) -> NDArray[np.uint8]:
        """Whether acting on a wrong object fails, [N, 4] of 0 and 1."""
        return self.rows["strict"]

    @property
    def objects(self) -> NDArray[np.uint64]:
        """Set of objects that fulfil each leaf (PUT_NEXT: objects to move), [N, 4]."""
        return self.rows["objects"]

    @property
    def fixed(self) -> NDArray[np.uint64]:
        """Set of objects to put one next to in each PUT_NEXT leaf, [N, 4]."""
        return self.rows["fixed"]

    @property
    def done(self) -> NDArray[np.uint8]:
        """Whether each leaf has succeeded, [N, 4] of 0 and 1."""
        return self.rows["done"]

    @property
    def carried_before(self) -> NDArray[np.uint8]:
        """Number of the object carried when each leaf was last verified, [N, 4]; 0: none."""
        return self.rows["carried_before"]

    @property
    def mission(self) -> NDArray[np.uint8]:
        """Numbers of the instruction's words (`missions.encode`), [N, LENGTH]."""
        return self.rows["mission"]

    @property
    def level(self) -> NDArray[np.uint64]:
        """Code of the level that each start state is of (`Level.code`), [N]; 0: not stated."""
        return self.rows["level"]

    @property
    def task(self) -> NDArray[np.int64]:
        """Number of each environment's level, [N]."""
        return self.rows["task"]


def empty(n: int, height: int, width: int) -> State:
    """State of n environments on grids of walls, without objects or instruction.

    Object numbers 0 and 1 look like an empty cell and a wall; every position is NOWHERE; everything else is 0.
    """
    rows = np.zeros(n, ROW)
    rows["looks"][:, EMPTY] = (LOOK_EMPTY, 0, 0)
    rows["looks"][:, WALL] = (LOOK_WALL, GREY, 0)
    rows["position"] = rows["believed_position"] = NOWHERE
    return State(grid=np.full((n, height, width), WALL, np.uint8), rows=rows)


@compiled_entry
def copy_rows(source: State, source_rows: NDArray[np.int64], target: State, target_rows: NDArray[np.int64]) -> None:
    """Overwrite row target_rows[i] of `target` with row source_rows[i] of `source`, except `task`, which stays.

    The target's grid may be larger: cells beyond the source's become walls, as minigrid shows them.

    Raises:
        ValueError: the source's grid does not fit.
    """
    height, width = source.grid.shape[1], source.grid.shape[2]
    if height > target.grid.shape[1] or width > target.grid.shape[2]:
        raise ValueError("copy_rows: the source's grid is larger than the target's")
    for i in range(len(source_rows)):
        row, into = source_rows[i], target_rows[i]
        task = target.rows[into].task
        target.rows[into] = source.rows[row]
        target.rows[into].task = task
        for y in range(target.grid.shape[1]):
            for x in range(target.grid.shape[2]):
                inside = y < height and x < width
                target.grid[into, y, x] = source.grid[row, y, x] if inside else WALL
