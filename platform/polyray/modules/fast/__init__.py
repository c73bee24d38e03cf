"""Fast kernels, each held equal to a plain version by a test."""
