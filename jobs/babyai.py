"""Agents with an inventory of skills on several BabyAI levels at once (Ponti et al. 2023, section 3)."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from polyray.cluster.rllib.training import Phase, last_line, lines_of, train
from polyray.cluster.session import ray_session
from polyray.envs.levels import Level, levels_of
from polyray.envs.missions import VOCABULARY
from polyray.envs.starts.evaluation import evaluation_starts
from polyray.envs.starts.fingerprints import fingerprints
from polyray.envs.starts.resumable import ResumableStarts, starts_for
from polyray.errors import InputError
from polyray.jobs.agent_sections import BabyAIConfig
from polyray.lookup import lookup
from polyray.progress import bars
from polyray.reports.sections.agents import write_agent
from polyray.rl.evaluation import film, score
from polyray.rl.imitation import START, TICKET, first_policy, imitate, needs_ticket, parameters_of, rewound, save
from polyray.rl.policy import ModularPolicy
from polyray.rl.policy_folder import load_policy
from polyray.rl.settings import Agent, Recipe
from polyray.routing import ROUTERS
from polyray.runs.job import Context, Result

SKILLS = "skills"
DENSE, MAIN = "dense", "training"
HELD_OUT = 1_000_000_007  # added to the seed: that of the start states for evaluation


def run(config: BabyAIConfig, context: Context) -> Result:
    """Train, evaluate on unseen levels, save skills, report; see `BabyAIConfig`."""
    levels = check(config)
    out, console = context.out, context.console
    held_out = _held_out(config, levels)
    cloned = _start(config, levels, held_out, context)
    with ray_session(context.address, out / "logs" / "ray"):
        if needs_ticket(config) and not (out / TICKET).exists():
            agent = _agent(config, levels, held_out, out, START)
            phase = Phase(
                name=DENSE, agent=agent, frames=config.modules.ticket_frames, save_every=config.training.save_every
            )
            policy, _ = train(phase, out, console)
            save(rewound(out / START, policy, config.modules.density), out / TICKET, config.training.seed)
        policy, line = train(_main(config, levels, held_out, out), out, console)
    return _finish(config, levels, context, policy, {"cloning": cloned, **_told(line)})


def check(config: BabyAIConfig) -> tuple[Level, ...]:
    """The levels; all names looked up and settings tried, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config is wrong.
    """
    levels = levels_of(config.suite or None, config.levels)
    lookup(ROUTERS, config.routing.kind, "router")
    config.settings()
    config.policy.options()
    if config.train == "row" and not config.skills:
        raise InputError("train=row trains new rows on trained skills: name the skills with skills=RUN/skills.")
    if needs_ticket(config) and config.modules.ticket_frames >= config.training.frames:
        raise InputError(
            f"modules.ticket_frames={config.modules.ticket_frames} leaves nothing of "
            f"training.frames={config.training.frames}."
        )
    first_policy(config, levels)
    return levels


def _start(
    config: BabyAIConfig, levels: tuple[Level, ...], held_out: NDArray[np.uint64], context: Context
) -> dict[str, Any]:
    """Write the policy to start from, unless an earlier start of this run did; what imitation came to."""
    folder, told = context.out / START, context.out / "cloning.json"
    if folder.exists():
        return dict(json.loads(told.read_text(encoding="utf-8"))) if told.exists() else {}
    policy, cloned = first_policy(config, levels), {}
    if config.cloning.episodes:
        cloned = imitate(config, levels, policy, held_out, context.console)
        told.write_text(json.dumps(cloned), encoding="utf-8")
    save(policy, folder, config.training.seed)
    return cloned


def _main(config: BabyAIConfig, levels: tuple[Level, ...], held_out: NDArray[np.uint64], out: Path) -> Phase:
    dense = last_line(out, DENSE)
    before = {} if dense is None else {"frames": dense["frames"], "episodes": dense["episodes"], **_counts(dense)}
    return Phase(
        name=MAIN, agent=_agent(config, levels, held_out, out, TICKET if needs_ticket(config) else START),
        frames=config.training.frames - before.get("frames", 0), goal=config.training.goal,
        goal_of=config.training.goal_of, save_every=config.training.save_every, before=before,
    )  # fmt: skip


def _agent(
    config: BabyAIConfig, levels: tuple[Level, ...], held_out: NDArray[np.uint64], out: Path, start: str
) -> Agent:
    """What is trained, from the policy in the folder `start` of the run."""
    return Agent(
        settings=config.settings(), recipe=Recipe.of(load_policy(out / start, VOCABULARY), out / start), levels=levels,
        starts=partial(_starts, held_out=held_out), seed=config.training.seed,
        places=config.workers.places(),
    )  # fmt: skip


def _starts(levels: Sequence[Level], seed: int, *, held_out: NDArray[np.uint64]) -> ResumableStarts:
    return starts_for(levels, seed=seed, held_out=held_out)


def _held_out(config: BabyAIConfig, levels: tuple[Level, ...]) -> NDArray[np.uint64]:
    """The fingerprints of the start states that the agent is scored on, in order."""
    episodes, seed = config.evaluation.episodes, config.training.seed + HELD_OUT
    return np.unique(np.concatenate([fingerprints(evaluation_starts([level], episodes, seed)) for level in levels]))


def _finish(
    config: BabyAIConfig, levels: tuple[Level, ...], context: Context, policy: ModularPolicy, told: dict[str, Any]
) -> Result:
    out, evaluation = context.out, config.evaluation
    films = {}
    with bars(context.console) as display:
        line = display.add_task("evaluation", total=len(levels), told="")
        tasks: dict[str, Any] = {}
        for level in levels:
            seed = config.training.seed + HELD_OUT
            tasks |= score(policy, [level], evaluation.episodes, seed, evaluation.sample)
            films[level.name] = [film(policy, level, number, out) for number in range(evaluation.videos)]
            display.update(line, advance=1)
    mean = float(np.mean([values["success"] for values in tasks.values()]))
    metrics = {"mean": mean, "tasks": tasks, **told, "parameters": parameters_of(policy)}
    save(policy, out / SKILLS, config.training.seed, {"mean": mean})
    write_agent(out, config, policy, metrics, lines_of(out), films)
    _show(context, tasks, mean)
    return Result(metrics=metrics, skills=(SKILLS,))


def _told(line: dict[str, Any]) -> dict[str, Any]:
    """What the last line of metrics says of the whole training."""
    kept = ("frames", "episodes", "success", "runners", "allocation")
    return {"training": {name: line[name] for name in kept if name in line}}


def _counts(line: dict[str, Any]) -> dict[str, int]:
    return {name: line["runners"][name] for name in ("lost", "restarted")}


def _show(context: Context, tasks: dict[str, Any], mean: float) -> None:
    table = Table("level", "success", "return", "length", title="Unseen levels")
    for name, values in tasks.items():
        table.add_row(name, f"{100 * values['success']:.1f}", f"{values['return']:.3f}", f"{values['length']:.1f}")
    table.add_section()
    table.add_row("mean", f"{100 * mean:.1f}", "", "")
    context.console.print(table)
