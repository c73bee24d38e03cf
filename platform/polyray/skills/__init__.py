"""Skills on disk: tensors, cards, libraries, interchange with PEFT."""
