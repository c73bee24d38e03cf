"""result.json: how a run ended, in one form for all jobs."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json

from polyray import __version__
from polyray.config import first_problem
from polyray.errors import InputError
from polyray.files import write_file
from polyray.formats import is_there, read_json_object

RESULT = "result.json"
Status = Literal["done", "interrupted", "failed"]


class _StoredResult(BaseModel):
    """The fields of result.json."""

    job: str
    status: Status
    metrics: dict[str, Any]
    skills: list[str]
    seconds: float = Field(ge=0)
    versions: dict[str, str]
    reason: str = ""


def write_result(
    out: Path, job: str, status: Status, seconds: float, metrics: Mapping[str, Any], skills: Sequence[str] = (),
    reason: str = "",
) -> None:  # fmt: skip
    """Write result.json of the run in `out`, whole or not at all; NaN and infinity become null.

    Args:
        seconds: since this start; those of earlier starts are added.
        skills: folders of skills, relative to `out`.
        reason: why the run failed; empty: it did not.

    Raises:
        InputError: the result of an earlier start cannot be read.
    """
    earlier = read_result(out)
    result = {
        "job": job,
        "status": status,
        "metrics": metrics,
        "skills": skills,
        "seconds": round(seconds + (earlier["seconds"] if earlier is not None else 0.0), 3),
        "versions": versions(),
        **({"reason": reason} if reason else {}),
    }
    write_file(out / RESULT, to_json(result, indent=2, inf_nan_mode="null", fallback=float) + b"\n")


def read_result(out: Path) -> dict[str, Any] | None:
    """The content of result.json, None where no run in `out` has ended yet.

    Raises:
        InputError: the file cannot be read.
    """
    file = out / RESULT
    if not is_there(file):
        return None
    try:
        result = _StoredResult.model_validate(read_json_object(file))
    except InputError as error:
        raise InputError(f"{error} Delete it to go on with the run.") from None
    except ValidationError as error:
        raise InputError(f"Cannot read {file}: {first_problem(error)}. Delete it to go on with the run.") from None
    return result.model_dump()


def final_metrics(out: Path) -> dict[str, Any]:
    """The metrics of the run that ended in `out`; none where it has not.

    Raises:
        InputError: its result cannot be read.
    """
    result = read_result(out)
    metrics: dict[str, Any] = result["metrics"] if result is not None else {}
    return metrics


def versions() -> dict[str, str]:
    """The versions of what decides a run's numbers; libraries that are not installed are left out."""
    numbers = {"polyray": __version__, "python": python_version()}
    for name in ("torch", "ray", "transformers"):
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            continue
    return numbers
