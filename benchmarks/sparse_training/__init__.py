"""Training of chosen entries beside masked training of everything."""
