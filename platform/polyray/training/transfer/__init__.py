"""Cross-lingual transfer: skills of tasks and languages, trained in the right order and put on top of each other."""
