"""Reinforcement learning as a run: metrics, checkpoints, resuming, progress."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from polyray.analysis.allocation import analyse
from polyray.errors import Interrupted
from polyray.files import write_file
from polyray.progress import bars
from polyray.rl.policy import ModularPolicy
from polyray.rl.settings import Agent
from polyray.rl.validation import AgentValidator
from polyray.runs.run import Run
from polyray.runs.state import load_state, save_state

if TYPE_CHECKING:  # RLlib takes three seconds to load, and help, plans and submissions train nothing
    from polyray.cluster.rllib.ppo import ModularPPO

LINE = "line.json"  # in a checkpoint: the line of metrics that it was saved at
SELECTION = "selection"  # in a checkpoint: the state of the policy that ends in the skills, so far
FIGURES = (
    "frames_now",
    "counted",
    "counted_now",
    "success",
    "success_now",
    "return_mean",
    "length_mean",
    "tasks",
    "losses",
)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Frames and episodes that were played, and how often a runner was lost and started again."""

    frames: int = 0
    episodes: int = 0
    lost: int = 0
    restarted: int = 0

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """The counts in a line of metrics."""
        lost, restarted = line["runners"]["lost"], line["runners"]["restarted"]
        return cls(frames=line["step"], episodes=line["episodes"], lost=lost, restarted=restarted)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of reinforcement learning: the dense search for a lottery ticket, or the training itself.

    Attributes:
        frames: that it plays, at most.
        has_goal: whether reaching the goal of the agent's options ends it earlier.
        before: counts of the phases before it, which go on in its metrics.
        validator: scores the policy on the way, and chooses the state that it ends with; None: it ends as it is.
    """

    name: str
    frames: int
    has_goal: bool = True
    before: Counts = Counts()
    validator: AgentValidator | None = None

    def is_over(self, agent: Agent, frames: int, line: Mapping[str, Any]) -> bool:
        """Whether it ends after so many frames, with this last line of metrics, empty at the beginning."""
        return frames >= self.frames or (self.has_goal and agent.options.reached(line.get("tasks", {})))


def train(agent: Agent, phase: Phase, run: Run) -> tuple[ModularPolicy, dict[str, Any]]:
    """Train until the phase ends, going on from its newest checkpoint: the policy and the last line of metrics.

    The policy is in the state that the phase's validator chose. A line's step is the number of frames that the whole
    run has played.

    Raises:
        InputError: the checkpoint is of another agent.
        Interrupted: the user asked the run to stop; a checkpoint is saved.
        RunError: no environment runner answers any more, or a gradient is not finite.
    """
    from polyray.cluster.rllib.algorithm import algorithm  # noqa: PLC0415  (loads RLlib)

    stretch, trained = run.phase(phase.name), algorithm(agent)
    try:
        line = _restore(phase, trained, stretch)
        with bars(run.console) as display:
            bar = display.add_task(phase.name, total=phase.frames, note="", completed=trained.frames)
            while not phase.is_over(agent, trained.frames, line):
                result = trained.train()
                if "tasks" in result:
                    line = _report(phase, trained, result, stretch)
                    _save_if_due(phase, trained, line, stretch)
                display.update(bar, completed=min(trained.frames, phase.frames), note=_note(result, phase))
        policy = policy_of(trained)
        if phase.validator is not None:
            phase.validator.selection.install(policy)
        return policy, line
    finally:
        trained.stop()


def policy_of(trained: "ModularPPO") -> ModularPolicy:
    """The policy as it was last sent to the runners."""
    module: Any = trained.get_module()
    policy: ModularPolicy = module.policy
    return policy


def _restore(phase: Phase, trained: "ModularPPO", run: Run) -> dict[str, Any]:
    """Go on from the newest checkpoint, if any: its line of metrics, empty at the beginning."""
    checkpoint = run.restored()
    if checkpoint is None:
        return {}
    trained.load_checkpoint(str(checkpoint))
    if phase.validator is not None:
        phase.validator.selection.restore(load_state(checkpoint / SELECTION))
    line: dict[str, Any] = json.loads((checkpoint / LINE).read_text(encoding="utf-8"))
    return line


def _report(phase: Phase, trained: "ModularPPO", result: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Report an iteration, with figures of the whole run so far: its line of metrics."""
    before, runners = phase.before, result["runners"]
    step = trained.frames + before.frames
    allocation = policy_of(trained).router.allocation()
    assert allocation is not None  # routers of agents are `by_task`
    metrics = {
        "iteration": trained.iteration,
        "episodes": int(trained.tally.ended.sum()) + before.episodes,
        **{name: result[name] for name in FIGURES},
        "runners": {
            **runners, "lost": runners["lost"] + before.lost, "restarted": runners["restarted"] + before.restarted
        },
        "allocation": analyse(allocation.probabilities.cpu().double().numpy()).metrics(),
    }  # fmt: skip
    at_end = phase.is_over(trained.agent, trained.frames, metrics)
    if phase.validator is not None and phase.validator.is_due(trained.iteration, at_end=at_end):
        metrics["validation"] = phase.validator(step, policy_of(trained))
    run.report(
        step, metrics, frames_now=result["frames_now"], seconds=result["seconds"], frames_per_second=_speed(result)
    )
    return {"step": step, **metrics}


def _save_if_due(phase: Phase, trained: "ModularPPO", line: Mapping[str, Any], run: Run) -> None:
    """Save a checkpoint every `save_every` iterations, at the end, and when the user asks the run to stop."""
    is_over, stop = phase.is_over(trained.agent, trained.frames, line), run.stop_requested

    def write(folder: Path) -> None:
        trained.save_checkpoint(str(folder))
        write_file(folder / LINE, json.dumps(line))
        if phase.validator is not None:
            save_state(folder / SELECTION, phase.validator.selection.state())

    if is_over or stop or trained.iteration % trained.agent.options.save_every == 0:
        run.checkpoint(line["step"], write)
    if stop and not is_over:
        raise Interrupted(f"Stopped after {trained.frames} of {phase.frames} frames, as asked.")


def _note(result: Mapping[str, Any], phase: Phase) -> str:
    if "seconds" not in result:
        return "waiting for runners"
    success = result["success"]
    validation = phase.validator.latest if phase.validator is not None else None
    shown = "" if validation is None else f"  validation {validation:.2f}"
    return f"success {'-' if success is None else f'{success:.2f}'}{shown}  {_speed(result):,.0f} frames/s"


def _speed(result: Mapping[str, Any]) -> float:
    """Frames per second of an iteration, sampling and learning together."""
    speed: float = result["frames_now"] / result["seconds"]["iteration"]
    return speed
