"""The agent's actions, numbered as minigrid does (minigrid/core/actions.py)."""

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
N_ACTIONS = 7
