"""Recipes: `gen_mission` of minigrid's level classes (minigrid/envs/babyai/*.py) as steps of `generation.steps`.

A level's options are those with which minigrid registers its class, so that a new id of a known class needs no recipe.
"""
