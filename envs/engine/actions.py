"""Numbers of the agent's actions, which are minigrid's (minigrid/core/actions.py)."""

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
N_ACTIONS = 7
