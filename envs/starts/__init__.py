"""Sources of start states: compiled or minigrid's own, seeded or resumable, for training and for evaluation."""
