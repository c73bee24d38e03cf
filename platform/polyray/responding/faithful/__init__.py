"""A table of systems for faithful dialogue: its config, and the steps that it is made of."""
