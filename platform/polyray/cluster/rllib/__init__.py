"""The modular policy on RLlib: module, learner, runner, algorithm."""
