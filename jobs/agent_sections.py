"""The config of the job that trains agents."""

from typing import Literal

from pydantic import Field

from polyray.config import Section
from polyray.jobs.sections import RoutingSection
from polyray.modules.options import ModuleOptions
from polyray.rl.options import PRESETS, PolicyOptions
from polyray.rl.settings import Places, PPOSettings


class PolicySection(Section):
    """The network under the skills; a field left out is the size's."""

    size: Literal["small", "paper"] = "small"
    """About 110,000 parameters without memory, for a CPU core; or BabyAI 1.1's network as in the paper, with memory."""
    memory: int | None = Field(None, ge=0)
    """Width of the LSTM's state; 0: no memory."""
    channels: int | None = Field(None, ge=1)
    """Channels of the convolutions."""
    mission: int | None = Field(None, ge=1)
    """Width of words and of the mission's code."""
    reader: Literal["gru", "bag"] | None = None
    """How the mission is read: word by word, or as a bag of words."""
    norm: Literal["batch", "group", "none"] | None = None
    """Normalisation after convolutions; batch is BabyAI's, and makes PPO's ratio differ from 1 at the first epoch."""

    def options(self) -> PolicyOptions:
        """As the library takes it."""
        chosen = {name: value for name, value in self.model_dump(exclude={"size"}).items() if value is not None}
        return PolicyOptions(**{**vars(PRESETS[self.size]), **chosen})


class AgentModulesSection(Section):
    """What a skill is made of; skills sit on every layer of the network."""

    kind: Literal["sparse", "dense", "lora"] = "sparse"
    """Changes of a fixed share of all weights (the paper's), of all weights, or of low rank."""
    density: float = Field(0.1, gt=0, le=1)
    """Share of a layer's weights that a sparse skill may change."""
    support: Literal["ticket", "random"] = "ticket"
    """Which weights a sparse skill may change: those that changed most in a first, dense training of `ticket_frames`,
    after which training begins again (lottery ticket: Ansell et al. 2022), or drawn ones."""
    ticket_frames: int = Field(200_000, ge=1)
    """Frames of the dense training that finds the supports; they count in every figure."""
    init: float = Field(0.0, ge=0)
    """Dense and sparse skills begin uniformly within this over the square root of a layer's inputs: 1 is
    Kaiming-uniform, the paper's; with 0 they begin without a change."""
    rank: int = Field(4, ge=1)
    """Rank of a LoRA."""
    alpha: float = Field(4.0, gt=0)
    """A LoRA update is scaled by alpha / rank."""

    def options(self) -> ModuleOptions:
        """As the library takes it."""
        return ModuleOptions(rank=self.rank, alpha=self.alpha, density=self.density, init=self.init)


class AgentRoutingSection(RoutingSection):
    """How levels share skills."""

    n_skills: int = Field(9, ge=1)
    """Skills of the inventory; shared, private and expert set their own number."""
    sample: Literal["example", "task", "none"] = "task"
    """Whose noise an iteration draws: every level's, or nobody's; a draw for every frame would make the policy that
    acts another one than the policy that learns."""
    allocation: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """For expert: the skills of each level, from 0. Empty: the paper's Table 2."""


class AgentTrainingSection(Section):
    """PPO as in BabyAI 1.1; the defaults suit the small network on a CPU, the paper's are in docs/jobs/babyai.md."""

    frames: int = Field(2_000_000, ge=1)
    """Frames to play, over all levels; those that a resumed run has played count."""
    goal: float = Field(0.0, ge=0, le=1)
    """Stop earlier, once the success over the last `window` episodes of a level is at least this; 0: never."""
    goal_of: Literal["every", "mean"] = "every"
    """Whether every level must reach the goal, or their mean."""
    window: int = Field(100, ge=1)
    """Episodes of each level over which its success rate is taken."""
    environments: int = Field(256, ge=1)
    """Environments that play at once, over all runners; rounded up to equally many of every level."""
    rollout: int = Field(40, ge=1)
    """Frames that each of them plays in an iteration."""
    recurrence: int = Field(20, ge=1)
    """Frames over which gradients flow back through the memory; divides `rollout`."""
    batch: int = Field(1280, ge=1)
    """Frames of a minibatch."""
    epochs: int = Field(4, ge=1)
    """Passes over an iteration's frames."""
    lr: float = Field(1e-3, ge=0)
    """Learning rate of the skills."""
    routing_lr: float = Field(1e-2, ge=0)
    """Learning rate of the routing: the second speed."""
    backbone_lr: float = Field(1e-3, ge=0)
    """Learning rate of the network under the skills; 0 freezes it."""
    clip: float = Field(0.2, gt=0)
    """PPO's bound on the ratio of probabilities."""
    max_grad_norm: float = Field(0.5, gt=0)
    """Largest norm of the gradient."""
    discount: float = Field(0.99, gt=0, le=1)
    """Worth of a reward one frame later."""
    lam: float = Field(0.99, ge=0, le=1)
    """Of generalised advantage estimation."""
    entropy: float = Field(0.01, ge=0)
    """Coefficient of the entropy at the start."""
    entropy_end: float = Field(0.01, ge=0)
    """And at the end of training; linear in between."""
    value_coefficient: float = Field(0.5, ge=0)
    """Coefficient of the critic's loss."""
    reward_scale: float = Field(20.0, gt=0)
    """Rewards are multiplied by this."""
    normalise_values: bool = False
    """Let the critic learn returns with mean 0 and deviation 1."""
    normalise_advantages: bool = False
    """Advantages with mean 0 and deviation 1 over an iteration."""
    routing_noise: Literal["shared", "eval"] = "shared"
    """One draw of routing noise for every level and iteration, in acting and learning alike; or none."""
    seed: int = 0
    """Of everything that is drawn."""
    save_every: int = Field(20, ge=1)
    """Iterations between two checkpoints; one more at the end."""


class AgentEvaluationSection(Section):
    """How the agent is scored at the end."""

    episodes: int = Field(512, ge=1)
    """Start states of each level, none of which training has seen."""
    sample: bool = True
    """Draw actions as in training, or take the likeliest, with which an agent without memory may go in circles."""
    videos: int = Field(1, ge=0)
    """Episodes of each level that the report shows."""


class CloningSection(Section):
    """A warm start: imitation of minigrid's bot before reinforcement learning."""

    episodes: int = Field(0, ge=0)
    """Demonstrations of each level; 0: no imitation."""
    epochs: int = Field(5, ge=1)
    """Passes over them."""
    batch: int = Field(64, ge=1)
    """Demonstrations of an update."""
    lr: float = Field(1e-3, gt=0)
    """Learning rate of skills and backbone."""


class PlacesSection(Section):
    """Who plays and who learns."""

    runners: int = Field(0, ge=0)
    """Remote actors that play; 0: the job's own process plays, which is fastest on one machine."""
    learners: int = Field(0, ge=0)
    """Remote actors that learn; 0: the job's own process learns."""
    gpus: float = Field(0, ge=0)
    """GPUs of each learner."""
    threads: int = Field(1, ge=1)
    """Threads of torch in the process that learns."""

    def places(self) -> Places:
        """As the library takes it."""
        return Places(runners=self.runners, learners=self.learners, gpus=self.gpus)


class BabyAIConfig(Section):
    """Train one agent with an inventory of skills on several BabyAI levels at once."""

    suite: str = ""
    """Levels by the name of a suite: paper8, single_room, all."""
    levels: tuple[str, ...] = ()
    """Or levels by name: see `polyray list levels`."""
    skills: str = ""
    """Folder of an agent to start from (RUN/skills); levels that it does not know get new rows of the routing."""
    train: Literal["all", "row"] = "all"
    """With `skills`: train everything, or only the routing's rows of the levels."""
    policy: PolicySection = PolicySection()
    """The network under the skills."""
    modules: AgentModulesSection = AgentModulesSection()
    """What a skill is made of."""
    routing: AgentRoutingSection = AgentRoutingSection()
    """How levels share skills."""
    cloning: CloningSection = CloningSection()
    """Imitation before reinforcement learning."""
    training: AgentTrainingSection = AgentTrainingSection()
    """How long and how fast."""
    evaluation: AgentEvaluationSection = AgentEvaluationSection()
    """How the agent is scored."""
    workers: PlacesSection = PlacesSection()
    """Who plays and who learns."""

    def settings(self) -> PPOSettings:
        """PPO as the library takes it."""
        training = self.training
        own = training.model_dump(exclude={"frames", "goal", "goal_of", "seed", "save_every"})
        if self.train == "row":
            own |= {"lr": 0.0, "backbone_lr": 0.0}
        return PPOSettings(
            **own, entropy_frames=training.frames, ibp=self.routing.prior(), threads=self.workers.threads
        )
