"""Objectives: how a task is put to a network."""
