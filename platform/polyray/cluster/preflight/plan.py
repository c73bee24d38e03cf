"""The plan of a run or a sweep: what it will find, and what it will cost, before it begins."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from polyray.cluster.preflight.checks import Check
from polyray.cluster.preflight.forecast import Forecast
from polyray.cluster.preflight.wording import bytes_text, seconds_text


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Checks of a run or a sweep before it begins, and a forecast of its cost.

    Attributes:
        title: what is planned.
        checks: what was looked at.
        forecast: None where nothing was measured.
        problem: why nothing was measured; empty where it was, or where the job has no measure.
        note: about the forecast; empty for none.
    """

    title: str
    checks: tuple[Check, ...]
    forecast: Forecast | None = None
    problem: str = ""
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether it can begin."""
        return not self.problem and all(check.holds for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0: it can begin; 2: something has to be changed before; 1: its first steps failed."""
        if not all(check.holds for check in self.checks):
            return 2
        return 1 if self.problem else 0

    def lines(self) -> list[str]:
        """The whole plan."""
        width = max(len(check.name) for check in self.checks)
        lines = [f"Plan: {self.title}. Nothing was started that lasts."]
        lines += [f"  {'ok  ' if c.holds else 'FAIL'}  {c.name:{width}}  {c.text}" for c in self.checks]
        if self.forecast is not None:
            lines += ["Forecast:", *(f"  {line}" for line in _forecast_lines(self.forecast))]
        if self.problem:
            lines.append(f"FAIL: the first steps: {self.problem}")
        return [*lines, self.note] if self.note else lines

    def short(self) -> list[str]:
        """Checks that failed, one line each, and a line with the forecast."""
        lines = [f"{check.name}: {check.text}" for check in self.checks if not check.holds]
        lines += [f"the first steps: {self.problem}"] if self.problem else []
        f = self.forecast
        if f is not None:
            cost = f"{seconds_text(f.seconds)}, {f.node_hours:.3g} node-hours, {bytes_text(f.disk)} of disk"
            lines.append(f"{self.title}: about {cost}, {bytes_text(f.memory)} of memory a run.")
        return lines

    def values(self) -> Mapping[str, Any]:
        """The plan as plain data."""
        forecast = None
        if self.forecast is not None:
            forecast = {**asdict(self.forecast), "node_hours": self.forecast.node_hours}
        return {
            "title": self.title, "holds": self.holds, "checks": [asdict(check) for check in self.checks],
            "forecast": forecast, "problem": self.problem, "note": self.note,
        }  # fmt: skip


def _forecast_lines(f: Forecast) -> list[str]:
    lines = [
        f"{f.runs} run(s), {f.at_once} at once on {f.n_nodes} node(s)",
        f"time    {seconds_text(f.seconds)}, {f.node_hours:.3g} node-hours; a run of {f.steps:,} steps takes "
        f"{seconds_text(f.trial)}, a step {f.step:.3g} s (measured)",
        f"memory  {bytes_text(f.memory)} a run",
        f"disk    {bytes_text(f.disk)}",
    ]
    lines += [f"of them {text}" for text in f.portions]
    return [*lines, *(f"not in it: {text}" for text in f.left_out)]
