"""Ray Tune without its tables, files and lines: a sweep shows and keeps all of that itself."""

from ray.tune.progress_reporter import TrialProgressCallback


class SilentProgress(TrialProgressCallback):
    """Tune's lines on the ends of trials, which it would print where all else is silent, to nobody."""

    def _print(self, msg: str) -> None:
        """Print nothing."""


QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_WARN_THRESHOLD_S": "600",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial may end before its first validation
    "RAY_AIR_NEW_OUTPUT": "0",  # which prints a table even where it is to be silent
    # Not as an argument of RunConfig: to see of which kind its callbacks are Tune imports mlflow, wandb and comet.
    "RAY_TUNE_CALLBACKS": f"{SilentProgress.__module__}.{SilentProgress.__qualname__}",
}
