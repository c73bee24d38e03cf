"""Reinforcement learning as a job runs it: metrics, checkpoints, resuming, progress."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from polyray.analysis.allocation import analyse
from polyray.cluster.rllib.algorithm import algorithm, restore, save
from polyray.cluster.rllib.ppo import ModularPPO
from polyray.errors import Interrupted
from polyray.progress import bars
from polyray.rl.policy import ModularPolicy
from polyray.rl.settings import Agent
from polyray.runs.metrics import read_metrics
from polyray.runs.run import Run

ALGORITHM = "algorithm"  # in a checkpoint: RLlib's files


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


def train(phase: Phase, whole: Run) -> tuple[ModularPolicy, dict[str, Any]]:
    """Train until the phase ends, going on from its newest checkpoint: the policy and the last line of metrics.

    Raises:
        Interrupted: the user asked the run to stop; a checkpoint is saved.
        RunError: no environment runner answers any more, or a gradient is not finite.
    """
    run, trained = whole.phase(phase.name), algorithm(phase.agent)
    try:
        line = _resume(phase, trained, run)
        with bars(run.console) as display:
            shown = display.add_task(phase.name, total=phase.frames, note="", completed=trained.frames)
            while line is None or not _over(phase, trained, line):
                result = trained.train()
                line = _line(phase, trained, result)
                speed = {name: result[name] for name in ("frames_now", "seconds") if name in result}
                run.report(trained.iteration, line, **speed)
                stop = run.stop_requested
                if trained.iteration % phase.save_every == 0 or stop or _over(phase, trained, line):
                    run.checkpoint(trained.iteration, lambda folder: save(trained, folder / ALGORITHM))
                display.update(shown, completed=min(trained.frames, phase.frames), note=_note(line, speed))
                if stop and not _over(phase, trained, line):
                    raise Interrupted(f"Stopped after {trained.frames} of {phase.frames} frames, as asked.")
        return policy_of(trained), line
    finally:
        trained.stop()


def policy_of(trained: ModularPPO) -> ModularPolicy:
    """The policy as it was last sent to the runners."""
    module: Any = trained.get_module()
    policy: ModularPolicy = module.policy
    return policy


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
    """The metrics of an iteration: figures of the whole run so far, the same for the same seed."""
    figures = {
        name: result[name]
        for name in ("frames_now", "episodes_now", "success", "success_now", "return_mean", "length_mean", "tasks",
                     "losses")
        if name in result
    }  # fmt: skip
    runners = {name: result["runners"][name] + phase.before.get(name, 0) for name in ("lost", "restarted")}
    allocation = policy_of(trained).router.allocation()
    assert allocation is not None  # routers of agents are `by_task`
    analysis = analyse(allocation.probabilities.cpu().double().numpy()).metrics()
    return {
        "frames": trained.frames + phase.before.get("frames", 0),
        "episodes": int(trained.tally.episodes.sum()) + phase.before.get("episodes", 0),
        **figures, "runners": {**result["runners"], **runners}, "allocation": analysis,
    }  # fmt: skip


def _note(line: Mapping[str, Any], speed: Mapping[str, Any]) -> str:
    if not speed.get("seconds"):
        return "waiting for runners"
    success = line["success"]
    frames_per_second = speed["frames_now"] / speed["seconds"]["iteration"]
    return f"success {'-' if success is None else f'{success:.2f}'}  {frames_per_second:,.0f} frames/s"


def _resume(phase: Phase, trained: ModularPPO, run: Run) -> dict[str, Any] | None:
    """Restore the newest whole checkpoint, if any: the line of metrics that was reported just before it."""
    checkpoint = run.restored()
    if checkpoint is None:
        return None
    restore(trained, checkpoint / ALGORITHM)
    return read_metrics(run.out, phase.name)[-1]
