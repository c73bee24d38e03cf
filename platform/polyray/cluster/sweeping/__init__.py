"""Ray Tune: which trial runs where, which is stopped early, and what goes on after a process died."""
