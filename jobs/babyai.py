"""Agents with an inventory of skills on several BabyAI levels at once (Ponti et al. 2023, section 3)."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console
from rich.table import Table

from polyray.cluster.rllib.training import Phase, train
from polyray.config import Section
from polyray.envs.levels import Level, levels_of
from polyray.envs.missions import VOCABULARY
from polyray.envs.starts.evaluation import evaluation_starts
from polyray.envs.starts.fingerprints import fingerprints
from polyray.envs.starts.resumable import ResumableStarts, starts_for
from polyray.errors import InputError
from polyray.modules.dense import DenseOptions
from polyray.modules.options import ModuleOptions
from polyray.modules.sparse import SparseOptions
from polyray.progress import bars
from polyray.rl.blueprint import Blueprint
from polyray.rl.evaluation import AgentEvaluationOptions, film, score
from polyray.rl.imitation import CloningOptions, imitate
from polyray.rl.options import PolicyChoice, PolicyOptions
from polyray.rl.policy import ModularPolicy
from polyray.rl.policy_folder import load_policy, save_policy
from polyray.rl.settings import ActorOptions, Agent, AgentTrainingOptions
from polyray.rl.start import continued_policy, fresh_policy, parameter_counts, rewound
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.runs.allocation import save_allocation
from polyray.runs.job import Result
from polyray.runs.metrics import read_metrics
from polyray.runs.run import Run

SKILLS = "skills"
START, TICKET = "start", "ticket"  # folders of policies in the run folder
DENSE, MAIN = "dense", "training"
HELD_OUT = 1_000_000_007  # added to the seed: that of the start states for evaluation


class TicketOptions(Section):
    """Lottery tickets: the search for the entries that sparse skills may change (Ansell et al. 2022)."""

    frames: int = Field(200_000, ge=0)
    """Frames of a first, dense training; each skill may change the entries that changed most there, and training begins
    again. They count in every figure. 0: the entries are drawn at random."""


class Config(Section):
    """Train one agent with an inventory of skills on several BabyAI levels at once."""

    suite: str = ""
    """Levels by the name of a suite: paper8, single_room, all."""
    levels: tuple[str, ...] = ()
    """Or levels by name: see `polyray list levels`."""
    skills: str = ""
    """Folder of an agent to start from (RUN/skills); levels that it does not know get new rows of the routing."""
    train: Literal["all", "row"] = "all"
    """With `skills`: train everything, or only the routing's rows of the levels."""
    rows: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """With `skills` whose allocation is given (expert): the skills of each new level, from 0."""
    policy: PolicyChoice = PolicyChoice()
    """The network under the skills."""
    modules: ModuleOptions = ModuleOptions(kind="sparse", options=SparseOptions())
    """What a skill is made of; skills sit on every layer of the network."""
    ticket: TicketOptions = TicketOptions()
    """Entries that sparse skills may change."""
    routing: RoutingOptions = RoutingOptions(options=LearnedOptions(n_skills=9, sample="task"))
    """How levels share skills; `sample` is task or none."""
    cloning: CloningOptions = CloningOptions()
    """Imitation before reinforcement learning."""
    training: AgentTrainingOptions = AgentTrainingOptions()
    """How long and how fast."""
    evaluation: AgentEvaluationOptions = AgentEvaluationOptions()
    """How the agent is scored."""
    workers: ActorOptions = ActorOptions()
    """Who plays and who learns."""

    def unread(self) -> Mapping[str, str]:
        """Sections that a choice of another field leaves unread."""
        unread: dict[str, str] = {}
        if self.skills:
            trained = f"the skills in {self.skills} have theirs"
            unread |= dict.fromkeys(("policy", "modules", "routing", "ticket"), trained)
        else:
            unread |= dict.fromkeys(("train", "rows"), "it goes with skills=FOLDER")
            if self.modules.kind != "sparse":
                unread["ticket"] = "lottery tickets are of modules.kind=sparse"
        if not self.cloning.episodes:
            unread |= dict.fromkeys(("cloning.epochs", "cloning.batch", "cloning.lr"), "cloning.episodes is 0")
        return unread

    @property
    def needs_ticket(self) -> bool:
        """Whether a dense training has to find the skills' supports first."""
        return self.modules.kind == "sparse" and self.ticket.frames > 0 and not self.skills


def run(config: Config, run: Run) -> Result:
    """Train, evaluate on unseen levels, save skills, report; see `Config`."""
    levels = check(config)
    held_out = _held_out(config, levels)
    cloned = _start(config, levels, held_out, run)
    run.cluster.start()
    if config.needs_ticket and not (run.out / TICKET).exists():
        agent = _agent(config, levels, held_out, run.out / START)
        phase = Phase(name=DENSE, agent=agent, frames=config.ticket.frames, save_every=config.training.save_every)
        policy, _ = train(phase, run)
        density = cast(SparseOptions, config.modules.options).density
        sparse = rewound(run.out / START, policy, density)
        save_policy(run.out / TICKET, sparse, VOCABULARY, config.training.seed)
    policy, line = train(_main(config, levels, held_out, run.out), run)
    return _finish(config, levels, run, policy, {"cloning": cloned, **_last(line)})


def check(config: Config) -> tuple[Level, ...]:
    """The levels; all names looked up and options tried, so that a mistake shows before anything starts.

    Raises:
        InputError: something in the config is wrong.
    """
    levels = levels_of(config.suite or None, config.levels)
    if config.needs_ticket and config.ticket.frames >= config.training.frames:
        raise InputError(
            f"ticket.frames={config.ticket.frames} leaves nothing of training.frames={config.training.frames}: lower "
            "ticket.frames, or raise training.frames."
        )
    first_policy(config, levels)
    return levels


def first_policy(config: Config, levels: tuple[Level, ...]) -> ModularPolicy:
    """The policy before anything was learned in this run.

    Raises:
        InputError: `skills` names no policy, the policy has no row for a level and cannot get one, or options do not
            fit.
    """
    names, seed = tuple(level.name for level in levels), config.training.seed
    if config.skills:
        rows_only = config.train == "row"
        return continued_policy(Path(config.skills), names, config.rows, seed, rows_only=rows_only)
    modules = config.modules
    if config.needs_ticket:  # dense skills begin as the sparse ones do
        sparse = cast(SparseOptions, modules.options)
        modules = ModuleOptions(kind="dense", options=DenseOptions(init=sparse.init))
    return fresh_policy(cast(PolicyOptions, config.policy.options), names, modules, config.routing, seed)


def _start(config: Config, levels: tuple[Level, ...], held_out: NDArray[np.uint64], run: Run) -> dict[str, Any]:
    """Write the policy to start from, unless an earlier start of this run did; returns the figures of imitation."""
    folder, figures = run.out / START, run.out / "cloning.json"
    if folder.exists():
        return dict(json.loads(figures.read_text(encoding="utf-8"))) if figures.exists() else {}
    policy, cloned = first_policy(config, levels), {}
    if config.cloning.episodes:
        cloned = imitate(policy, levels, config.cloning, config.training, held_out, run.console)
        figures.write_text(json.dumps(cloned), encoding="utf-8")
    save_policy(folder, policy, VOCABULARY, config.training.seed)
    return cloned


def _main(config: Config, levels: tuple[Level, ...], held_out: NDArray[np.uint64], out: Path) -> Phase:
    dense = read_metrics(out, DENSE)[-1:]
    before = {"frames": dense[0]["frames"], "episodes": dense[0]["episodes"], **_counts(dense[0])} if dense else {}
    return Phase(
        name=MAIN, agent=_agent(config, levels, held_out, out / (TICKET if config.needs_ticket else START)),
        frames=config.training.frames - before.get("frames", 0), goal=config.training.goal,
        goal_of=config.training.goal_of, save_every=config.training.save_every, before=before,
    )  # fmt: skip


def _agent(config: Config, levels: tuple[Level, ...], held_out: NDArray[np.uint64], start: Path) -> Agent:
    """The training of the policy in the folder `start`."""
    options = config.training
    if config.train == "row":
        options = options.model_copy(update={"lr": 0.0, "backbone_lr": 0.0})
    return Agent(
        options=options, policy=Blueprint.of(load_policy(start, VOCABULARY)), levels=levels,
        starts=partial(_starts, held_out=held_out), seed=options.seed, workers=config.workers, frames=options.frames,
    )  # fmt: skip


def _starts(levels: Sequence[Level], seed: int, *, held_out: NDArray[np.uint64]) -> ResumableStarts:
    return starts_for(levels, seed=seed, held_out=held_out)


def _held_out(config: Config, levels: tuple[Level, ...]) -> NDArray[np.uint64]:
    """The fingerprints of the start states that the agent is scored on, in order."""
    episodes, seed = config.evaluation.episodes, config.training.seed + HELD_OUT
    return np.unique(np.concatenate([fingerprints(evaluation_starts([level], episodes, seed)) for level in levels]))


def _finish(
    config: Config, levels: tuple[Level, ...], run: Run, policy: ModularPolicy, training: dict[str, Any]
) -> Result:
    out, evaluation = run.out, config.evaluation
    with bars(run.console) as display:
        line = display.add_task("evaluation", total=len(levels), note="")
        tasks: dict[str, Any] = {}
        for level in levels:
            seed = config.training.seed + HELD_OUT
            tasks |= score(policy, [level], evaluation.episodes, seed, evaluation.sample)
            for number in range(evaluation.videos):
                film(policy, level, number, out)
            display.update(line, advance=1)
    mean = float(np.mean([values["success"] for values in tasks.values()]))
    metrics = {"mean": mean, "tasks": tasks, **training, "parameters": parameter_counts(policy)}
    save_policy(out / SKILLS, policy, VOCABULARY, config.training.seed, {"mean": mean})
    allocation = policy.router.allocation()
    assert allocation is not None  # routers of agents are `by_task`
    save_allocation(out, allocation.probabilities, allocation.tables, allocation.tasks)
    _show(run.console, tasks, mean)
    return Result(metrics=metrics, skills=(SKILLS,))


def _last(line: dict[str, Any]) -> dict[str, Any]:
    """The figures of the whole training in its last line of metrics."""
    names = ("frames", "episodes", "success", "runners", "allocation")
    return {"training": {name: line[name] for name in names if name in line}}


def _counts(line: dict[str, Any]) -> dict[str, int]:
    return {name: line["runners"][name] for name in ("lost", "restarted")}


def _show(console: Console, tasks: dict[str, Any], mean: float) -> None:
    table = Table("level", "success", "return", "length", title="Unseen levels")
    for name, values in tasks.items():
        table.add_row(name, f"{100 * values['success']:.1f}", f"{values['return']:.3f}", f"{values['length']:.1f}")
    table.add_section()
    table.add_row("mean", f"{100 * mean:.1f}", "", "")
    console.print(table)
