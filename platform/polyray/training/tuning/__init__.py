"""Ways to train one skill of a whole network."""
