"""The driver's side of a submitted job: its environment, and which Polyray sent it."""

import json
import os
from collections.abc import Mapping
from typing import Any

from polyray import __version__
from polyray.cluster.submission.jobs import VERSION
from polyray.errors import InputError

CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray's own name of the variable with a submitted driver's environment


def submitted_metadata(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Metadata of the job whose driver this process is; empty: it was not submitted to a cluster."""
    return dict(_config(environment).get("metadata") or {})


def submitted_variables(environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The environment variables that a user set for a submitted job; Ray refuses to set them again."""
    variables: Mapping[str, str] = _config(environment).get("runtime_env", {}).get("env_vars", {})
    return variables


def check_same_version(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to run what another version of Polyray has submitted, as an image may hold.

    Raises:
        InputError: that is so.
    """
    version = submitted_metadata(environment).get(VERSION, __version__)
    if version != __version__:
        raise InputError(
            f"Polyray {version} submitted this job, and the cluster has Polyray {__version__}. Submit without --image, "
            f"so that Polyray travels along, or with an image that holds {version}."
        )


def _config(environment: Mapping[str, str]) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(environment.get(CONFIG, "{}"))
    return config
