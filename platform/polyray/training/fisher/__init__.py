"""Fisher information of a network, or of a skill on it, on the examples of a suite."""
