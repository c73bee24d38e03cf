"""Compiled level generation that draws what minigrid draws."""
