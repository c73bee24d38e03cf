"""Training, adapting and evaluating skills on a backbone, without Ray."""
