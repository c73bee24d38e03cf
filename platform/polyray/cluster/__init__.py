"""Ray: where training and adaptation run, and how they are watched."""
