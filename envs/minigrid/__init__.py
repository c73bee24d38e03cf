"""minigrid's interface to the compiled engine: gymnasium environments, minigrid's objects, its bot and its pictures."""
