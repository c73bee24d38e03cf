"""Jobs: one file each; `table` has them by name.

Nothing is imported here, so that help and a mistyped command wait for no job's libraries.
"""
