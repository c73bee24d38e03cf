"""What a user can run: see `table` for the jobs by name.

Nothing is imported here, so that a worker loads the part of a job that it does, not all jobs with their pictures.
"""
