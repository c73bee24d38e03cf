"""Experiment trackers: MLflow, Weights & Biases, Aim and trackio are told how runs go, from the runs' files."""
