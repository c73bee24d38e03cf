"""Adaptations that are trained together: k inventories of one form in shared batches, each a block of its own."""
