"""Reinforcement learning as a job runs it: metrics, checkpoints, resuming, progress."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from polyray.analysis.allocation import analyse
from polyray.cluster.rllib.algorithm import algorithm, restore, save
from polyray.cluster.rllib.ppo import ModularPPO
from polyray.files import write_file, writing
from polyray.progress import bars
from polyray.rl.policy import ModularPolicy
from polyray.rl.settings import Agent

METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of reinforcement learning: the dense search for a lottery ticket, or the training itself."""

    name: str
    agent: Agent
    frames: int  # that it ends after, its own
    save_every: int  # iterations
    goal: float = 0.0  # success that ends it earlier; 0: none does
    goal_of: Literal["every", "mean"] = "every"  # level
    before: Mapping[str, Any] = field(default_factory=dict)  # frames, episodes, lost, restarted of the phases before it


def train(phase: Phase, out: Path, console: Console) -> tuple[ModularPolicy, dict[str, Any]]:
    """Train until the phase ends, going on from its newest checkpoint: the policy and the last line of metrics.

    Raises:
        RunError: no environment runner answers any more, or a gradient is not finite.
    """
    trained = algorithm(phase.agent)
    try:
        line = _resume(phase, trained, out)
        with bars(console) as display:
            shown = display.add_task(phase.name, total=phase.frames, note="", completed=trained.frames)
            while line is None or not _over(phase, trained, line):
                line = _line(phase, trained, trained.train())
                with (out / METRICS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                if line["iteration"] % phase.save_every == 0 or _over(phase, trained, line):
                    _checkpoint(phase, trained, out, line)
                display.update(shown, completed=min(trained.frames, phase.frames), note=_told(line))
        return policy_of(trained), line
    finally:
        trained.stop()


def policy_of(trained: ModularPPO) -> ModularPolicy:
    """The policy as it was last sent to the runners."""
    module: Any = trained.get_module()
    policy: ModularPolicy = module.policy
    return policy


def last_line(out: Path, phase: str) -> dict[str, Any] | None:
    """The last line of metrics that `phase` wrote, None where there is none."""
    lines = [line for line in lines_of(out) if line["phase"] == phase]
    return lines[-1] if lines else None


def lines_of(out: Path) -> list[dict[str, Any]]:
    """All lines of metrics, those that a dying process cut short left out."""
    if not (out / METRICS).exists():
        return []
    text = (out / METRICS).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _over(phase: Phase, trained: ModularPPO, line: Mapping[str, Any]) -> bool:
    if trained.frames >= phase.frames:
        return True
    tasks = line.get("tasks", {}).values()  # none where no runner came back
    if not phase.goal or not tasks or any(task["episodes"] < phase.agent.options.window for task in tasks):
        return False
    reached = [task["success"] for task in tasks]
    success: float = min(reached) if phase.goal_of == "every" else sum(reached) / len(reached)
    return success >= phase.goal


def _line(phase: Phase, trained: ModularPPO, result: Mapping[str, Any]) -> dict[str, Any]:
    """What an iteration leaves in metrics.jsonl: figures of the whole run so far."""
    figures = {
        name: result[name]
        for name in ("frames_now", "episodes_now", "success", "success_now", "return_mean", "length_mean", "tasks",
                     "losses", "seconds")
        if name in result
    }  # fmt: skip
    runners = {name: result["runners"][name] + phase.before.get(name, 0) for name in ("lost", "restarted")}
    allocation = policy_of(trained).router.allocation()
    assert allocation is not None  # routers of agents are `by_task`
    analysis = analyse(allocation.probabilities.cpu().double().numpy()).metrics()
    return {
        "phase": phase.name, "iteration": trained.iteration,
        "frames": trained.frames + phase.before.get("frames", 0),
        "episodes": int(trained.tally.episodes.sum()) + phase.before.get("episodes", 0),
        **figures, "runners": {**result["runners"], **runners}, "allocation": analysis,
    }  # fmt: skip


def _told(line: Mapping[str, Any]) -> str:
    if not line.get("seconds"):
        return "waiting for runners"
    success = line["success"]
    speed = line["frames_now"] / line["seconds"]["iteration"]
    return f"success {'-' if success is None else f'{success:.2f}'}  {speed:,.0f} frames/s"


def _checkpoint(phase: Phase, trained: ModularPPO, out: Path, line: Mapping[str, Any]) -> None:
    folder = out / CHECKPOINTS / phase.name
    final = folder / f"step-{trained.iteration:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    with writing(final) as temporary:
        temporary.rmdir()  # RLlib makes the folder itself
        save(trained, temporary)
        (temporary / "line.json").write_text(json.dumps(line), encoding="utf-8")
    for old in [*sorted(folder.glob("step-*"))[:-1], *folder.glob(".writing-*")]:
        shutil.rmtree(old, ignore_errors=True)


def _resume(phase: Phase, trained: ModularPPO, out: Path) -> dict[str, Any] | None:
    """Restore the newest checkpoint, if any, and take back the lines of metrics after it: the line it was made at."""
    found = sorted((out / CHECKPOINTS / phase.name).glob("step-*"))
    line: dict[str, Any] | None = None
    if found:
        restore(trained, found[-1])
        line = json.loads((found[-1] / "line.json").read_text(encoding="utf-8"))
    iteration = 0 if line is None else line["iteration"]
    kept = [x for x in lines_of(out) if x["phase"] != phase.name or x["iteration"] <= iteration]
    if (out / METRICS).exists():
        write_file(out / METRICS, "".join(json.dumps(x) + "\n" for x in kept))
    return line
