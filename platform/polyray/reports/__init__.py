"""Pictures of a run and the page that shows them, all of it from the files of the run."""
