"""Agents: a modular policy for BabyAI levels, and PPO that trains it."""
