"""The fields that several jobs share, under one name everywhere."""

from typing import Literal

from pydantic import Field

from polyray.config import Section
from polyray.modules.options import ModuleOptions
from polyray.objectives.batches import Lengths
from polyray.routing import RoutingOptions
from polyray.routing.prior import IbpOptions
from polyray.training.evaluation import Decoding
from polyray.training.optimizers import OptimizerOptions


class TextSection(Section):
    """How long texts may be."""

    max_input: int = Field(512, ge=1)
    """Tokens of an input at most; the backbone's own limit holds too."""
    max_output: int = Field(64, ge=1)
    """Tokens of an answer at most, in training and in generation."""
    too_long: Literal["error", "truncate"] = "error"
    """What to do with a longer text: stop before training and count them, or cut them and report how many."""

    def lengths(self) -> Lengths:
        """As the library takes it."""
        return Lengths(max_input=self.max_input, max_output=self.max_output, too_long=self.too_long)


class ModulesSection(Section):
    """What a skill is made of."""

    kind: str = "lora"
    """Kind of module: see `polyray list modules`."""
    rank: int = Field(16, ge=1)
    """Rank of a LoRA, width of a bottleneck."""
    alpha: float = Field(1.0, gt=0)
    """A LoRA update is scaled by alpha / rank."""
    n_splits: int = Field(1, ge=1)
    """Heads of multi-head routing (MHR, Caccia et al. 2023); LoRA only."""
    density: float = Field(0.1, gt=0, le=1)
    """Share of a matrix's entries that a sparse module may change."""
    length: int = Field(8, ge=1)
    """Key-value pairs of a prefix."""
    sites: tuple[str, ...] = ("attention",)
    """Layers that carry skills: presets of the backbone's family (attention, ffn, all, houlsby, pfeiffer, ia3, prefix)
    or patterns of layer names."""

    def options(self) -> ModuleOptions:
        """As the library takes it."""
        return ModuleOptions(
            rank=self.rank, alpha=self.alpha, n_splits=self.n_splits, density=self.density, length=self.length
        )


class RoutingSection(Section):
    """How tasks share skills."""

    kind: str = "polytropon"
    """Router: see `polyray list routers`."""
    n_skills: int = Field(8, ge=1)
    """Skills of the inventory; shared, private and expert set their own number."""
    granularity: Literal["site", "model"] = "site"
    """One allocation per site, or one for the whole backbone."""
    temperature: float = Field(1.0, gt=0)
    """Temperature of the relaxed Bernoulli or the softmax."""
    sample: Literal["example", "task", "none"] = "example"
    """Whose noise a step draws: every example's, every task's, or nobody's."""
    top: int = Field(2, ge=1)
    """Skills kept by hard and token_moe."""
    allocation: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """For expert: the skills of each task, from 0. Empty: one skill for each first word of the tasks' category."""
    ibp: float = Field(0.0, ge=0)
    """Coefficient of the Indian Buffet Process prior in the loss; 0 leaves it out."""
    ibp_alpha: float = Field(5.0, gt=0)
    """The prior's expected number of skills per task."""
    ibp_columns: Literal["exact", "counts"] = "exact"
    """The prior as the paper writes it, or of the columns' counts, which prefers few tasks per skill."""
    ibp_centred: bool = True
    """Subtract the prior's value at half-full columns, so that logged losses stay comparable."""

    def options(self, allocation: dict[str, tuple[int, ...]]) -> RoutingOptions:
        """As the library takes it, with the allocation of an expert."""
        return RoutingOptions(
            n_skills=self.n_skills, granularity=self.granularity, temperature=self.temperature, sample=self.sample,
            top=self.top, allocation=allocation,
        )  # fmt: skip

    def prior(self) -> IbpOptions:
        """The prior's options."""
        return IbpOptions(
            coefficient=self.ibp, alpha=self.ibp_alpha, centred=self.ibp_centred, columns=self.ibp_columns
        )


class TrainingSection(Section):
    """How the inventory is trained."""

    steps: int = Field(1000, ge=1)
    """Updates."""
    batch: int = Field(32, ge=1)
    """Examples of an update, over all workers; accumulation not counted."""
    accumulate: int = Field(1, ge=1)
    """Batches of an update."""
    lr: float = Field(1e-3, gt=0)
    """Peak learning rate of the skills."""
    routing_lr: float = Field(1e-1, gt=0)
    """Peak learning rate of the routing: the second speed."""
    backbone_lr: float = Field(0.0, ge=0)
    """Peak learning rate of the backbone; 0 freezes it."""
    weight_decay: float = Field(0.01, ge=0)
    """Of skills and backbone; the routing has none."""
    warmup: float = Field(0.06, ge=0, le=1)
    """Share of the steps over which learning rates rise; then they fall linearly to 0."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    beta2: float = Field(0.999, gt=0, lt=1)
    """Adam's memory of squared gradients; runs of some hundred steps want 0.99."""
    task_power: float = Field(1.0, ge=0, le=1)
    """A task is drawn with probability proportional to size ** task_power: 1 proportional, 0 uniform."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the forward pass; parameters stay fp32."""
    checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Copies of the backbone on every worker, or one that is sharded over them (FSDP2; needs a frozen backbone)."""
    seed: int = 0
    """Of everything that is drawn."""
    report_every: int = Field(50, ge=1)
    """Steps between two lines of metrics.jsonl."""
    save_every: int = Field(500, ge=1)
    """Steps between two checkpoints; one more at the end."""

    def speeds(self) -> OptimizerOptions:
        """As the library takes it."""
        return OptimizerOptions(
            lr=self.lr, routing_lr=self.routing_lr, backbone_lr=self.backbone_lr, weight_decay=self.weight_decay,
            warmup=self.warmup, clip=self.clip, beta2=self.beta2,
        )  # fmt: skip


class EvaluationSection(Section):
    """How answers are found and scored."""

    method: Literal["auto", "generate", "rank"] = "auto"
    """Write the answer, or choose the likeliest of the task's answers; auto: encoders rank, others generate."""
    beams: int = Field(1, ge=1)
    """Beams of the search; 1 is greedy."""
    sample: bool = False
    """Draw tokens instead of searching."""
    temperature: float = Field(1.0, gt=0)
    """Of the drawing."""
    batch: int = Field(64, ge=1)
    """Examples at once."""
    max_examples: int = Field(0, ge=0)
    """Test examples of a task at most, the first ones; 0: all."""

    def decoding(self) -> Decoding:
        """As the library takes it."""
        return Decoding(
            method=self.method, beams=self.beams, sample=self.sample, temperature=self.temperature, batch=self.batch
        )


class WorkersSection(Section):
    """Who works."""

    n: int = Field(1, ge=1)
    """Training workers, each with its share of a batch."""
    cpus: int = Field(1, ge=1)
    """CPUs of a worker."""
    gpus: int = Field(0, ge=0)
    """GPUs of a worker."""
    restarts: int = Field(3, ge=0)
    """How often training goes on by itself after a worker died."""
