"""A space: the fields of a job that a sweep may vary, and the goal of the sweep."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Space:
    """Distributions over fields of one job's config, and the metric that tells a good draw.

    Attributes:
        job: name of the job.
        goal: dotted name of a number in the job's metrics. mode: whether it is to be large or small.
        fields: gives distributions by dotted field name, as `ray.tune.Tuner(param_space=...)` takes them.
        only_with: fields that are read only if another field has one of some values: {field: (other, values)}.
    """

    about: str
    job: str
    goal: str
    mode: Literal["max", "min"]
    fields: Callable[[], Mapping[str, Any]]
    only_with: Mapping[str, tuple[str, tuple[Any, ...]]] = field(default_factory=dict)

    def trial(self, draw: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of one draw that its own values let the job read: `trial` of `polyray.config.load_config`."""
        return {name: value for name, value in draw.items() if self._is_read(name, draw)}

    def _is_read(self, name: str, draw: Mapping[str, Any]) -> bool:
        if name not in self.only_with:
            return True
        other, values = self.only_with[name]
        return draw.get(other) in values
