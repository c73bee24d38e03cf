"""Agents with an inventory of skills on several BabyAI levels at once (Ponti et al. 2023, section 3)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, cast

from pydantic import Field
from rich.console import Console

from polyray.cluster.rllib.training import Counts, Phase, train
from polyray.config import Section
from polyray.envs.levels import Level, levels_of
from polyray.envs.missions import VOCABULARY
from polyray.errors import InputError
from polyray.modules.dense import DenseOptions
from polyray.modules.options import ModuleOptions
from polyray.modules.sparse import SparseOptions
from polyray.reports.console import print_table
from polyray.rl.blueprint import Blueprint
from polyray.rl.evaluation import evaluate
from polyray.rl.imitation import CloningOptions, imitate
from polyray.rl.options import PolicyChoice, PolicyOptions
from polyray.rl.policy import ModularPolicy
from polyray.rl.policy_folder import load_policy, save_policy
from polyray.rl.settings import ActorOptions, Agent, AgentTrainingOptions, check_draw
from polyray.rl.start import continued_policy, fresh_policy, parameter_counts
from polyray.rl.ticket import rewound
from polyray.rl.validation import AgentValidationOptions, AgentValidator
from polyray.rl.workload import amounts, left_out, shortened
from polyray.routing import RoutingOptions
from polyray.routing.options import LearnedOptions
from polyray.runs.allocation import save_allocation
from polyray.runs.job import Job, Result
from polyray.runs.metrics import read_metrics
from polyray.runs.run import Run
from polyray.runs.sealed import read_sealed, write_sealed
from polyray.runs.selection import Selection, check_keep
from polyray.runs.workload import Workload
from polyray.tracking.options import TrackingOptions

T = TypeVar("T")

SKILLS = "skills"
START, CLONING = "start", "cloning.json"  # in the run folder: the policy after imitation, and imitation's figures
TICKET = "ticket"  # in the run folder: the policy with the sparse skills that a dense training found
SUMMARY = ("episodes", "success", "runners", "allocation")  # figures of the last line of metrics in the result


class TicketOptions(Section):
    """Lottery tickets: the search for the entries that sparse skills may change (Ansell et al. 2022)."""

    frames: int = Field(200_000, ge=0)
    """Frames of a first, dense training; each skill may change the entries that changed most there, and training begins
    again. They count in every figure. 0: the entries are drawn at random."""


class Config(Section):
    """Train one agent with an inventory of skills on several BabyAI levels at once."""

    files: ClassVar[frozenset[str]] = frozenset({"skills"})

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
    """Kind and options of the modules that a skill is made of; skills sit on every layer of the network."""
    ticket: TicketOptions = TicketOptions()
    """Entries that sparse skills may change."""
    routing: RoutingOptions = RoutingOptions(options=LearnedOptions(n_skills=9, sample="task"))
    """Router, which lets levels share skills; `sample` is task or none."""
    cloning: CloningOptions = CloningOptions()
    """Imitation before reinforcement learning."""
    training: AgentTrainingOptions = AgentTrainingOptions()
    """Length, batches and learning rates of the training."""
    evaluation: AgentValidationOptions = AgentValidationOptions()
    """Episodes that score the agent at the end, and while it trains."""
    workers: ActorOptions = ActorOptions()
    """Who plays and who learns."""
    tracking: TrackingOptions = TrackingOptions()
    """Experiment tracker that is told how it goes."""

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
    levels, policy = check(config)
    seed, selection = config.training.seed, Selection(config.training.keep)
    validator = AgentValidator(levels, config.evaluation, selection, seed) if config.evaluation.every else None
    policy, cloning = _imitated(config, levels, policy, run)
    run.cluster.start()
    policy, before = _ticket(config, _agent(config, levels, policy), policy, run)
    frames = config.training.frames - before.frames
    phase = Phase(name="training", frames=frames, before=before, validator=validator)
    policy, line = train(_agent(config, levels, policy), phase, run)
    tasks = evaluate(policy, levels, config.evaluation, seed, run)
    mean = sum(scores["success"] for scores in tasks.values()) / len(tasks)
    save_policy(run.out / SKILLS, policy, VOCABULARY, seed, {"mean": mean})
    training = {"frames": line["step"], **{name: line[name] for name in SUMMARY}}
    metrics = {
        "mean": mean, "tasks": tasks, "cloning": cloning, "training": training, "parameters": parameter_counts(policy)
    }  # fmt: skip
    if validator is not None:
        metrics["validation"] = selection.figures
    allocation = policy.router.allocation()
    assert allocation is not None  # routers of agents are `by_task`
    save_allocation(run.out, allocation.probabilities, allocation.tables, allocation.tasks)
    _show(run.console, tasks, mean)
    return Result(metrics=metrics, skills=(SKILLS,))


def check(config: Config) -> tuple[tuple[Level, ...], ModularPolicy]:
    """The levels, and the policy before anything is learned in this run: all names are looked up, all options tried.

    Raises:
        InputError: something in the config is wrong.
    """
    levels = levels_of(config.suite or None, config.levels)
    check_keep(config.training.keep, config.evaluation.every)
    if config.needs_ticket and config.ticket.frames >= config.training.frames:
        raise InputError(
            f"ticket.frames={config.ticket.frames} leaves nothing of training.frames={config.training.frames}: set "
            f"ticket.frames to less than {config.training.frames} (0: the entries of sparse skills are drawn at "
            f"random), or training.frames to more than {config.ticket.frames}."
        )
    policy = _policy(config, tuple(level.name for level in levels))
    check_draw(config.training, policy.options)
    return levels, policy


def _policy(config: Config, levels: tuple[str, ...]) -> ModularPolicy:
    """The policy before anything is learned in this run."""
    seed = config.training.seed
    if config.skills:
        rows_only = config.train == "row"
        return continued_policy(Path(config.skills), levels, config.rows, seed, rows_only=rows_only)
    modules = config.modules
    if config.needs_ticket:  # dense skills begin as the sparse ones do
        sparse = cast(SparseOptions, modules.options)
        modules = ModuleOptions(kind="dense", options=DenseOptions(init=sparse.init))
    return fresh_policy(cast(PolicyOptions, config.policy.options), levels, modules, config.routing, seed)


def _agent(config: Config, levels: tuple[Level, ...], policy: ModularPolicy) -> Agent:
    """The training of `policy`."""
    frozen = {"lr": 0.0, "backbone_lr": 0.0} if config.train == "row" else {}
    return Agent(
        options=config.training.model_copy(update=frozen), policy=Blueprint.of(policy), levels=levels,
        workers=config.workers,
    )  # fmt: skip


def _imitated(
    config: Config, levels: tuple[Level, ...], policy: ModularPolicy, run: Run
) -> tuple[ModularPolicy, dict[str, Any]]:
    """The policy after imitation, which an earlier start of this run may have done already, and imitation's figures."""
    if not config.cloning.episodes:
        return policy, {}
    folder, file = run.out / START, run.out / CLONING
    saved = _saved(folder, lambda: (load_policy(folder, VOCABULARY), read_sealed(file)), run)
    if saved is not None:
        return saved
    figures = imitate(policy, levels, config.cloning, config.training, run)
    write_sealed(file, figures)
    save_policy(folder, policy, VOCABULARY, config.training.seed)
    return load_policy(folder, VOCABULARY), read_sealed(file)


def _ticket(config: Config, agent: Agent, policy: ModularPolicy, run: Run) -> tuple[ModularPolicy, Counts]:
    """The policy with the sparse skills that a dense training finds, which an earlier start of this run may have done.

    Also the counts of that training; without a search for tickets the policy as it is, and no counts.
    """
    if not config.needs_ticket:
        return policy, Counts()
    folder = run.out / TICKET
    ticket = _saved(folder, lambda: load_policy(folder, VOCABULARY), run)
    if ticket is None:
        trained, _ = train(agent, Phase(name="dense", frames=config.ticket.frames, has_goal=False), run)
        density = cast(SparseOptions, config.modules.options).density
        save_policy(folder, rewound(policy, trained, density), VOCABULARY, config.training.seed)
        ticket = load_policy(folder, VOCABULARY)
    return ticket, Counts.of(read_metrics(run.out, "dense")[-1])


def _saved(folder: Path, load: Callable[[], T], run: Run) -> T | None:
    """Load what an earlier start of this run left in `folder`: None if it left nothing, or it was damaged since."""
    if not folder.exists():
        return None
    try:
        return load()
    except InputError as error:
        run.console.print(f"{error} It is computed again.", markup=False, highlight=False, soft_wrap=True)
        return None


def _show(console: Console, tasks: Mapping[str, Mapping[str, float]], mean: float) -> None:
    rows = [
        [name, f"{100 * values['success']:.1f}", f"{values['return']:.3f}", f"{values['length']:.1f}"]
        for name, values in tasks.items()
    ]
    header = ["level", "success", "return", "length"]
    print_table(console, "Unseen levels", header, rows, ["mean", f"{100 * mean:.1f}", "", ""])


JOB = Job(
    about="train agents with skills on several BabyAI levels at once", Config=Config, run=run,
    goals=("mean", "tasks", "validation", "training", "cloning", "parameters"), check=check,
    workload=Workload(amounts=amounts, shorten=shortened, left_out=left_out),
)  # fmt: skip
