"""Compiled level generation, which draws the random numbers that minigrid draws."""
