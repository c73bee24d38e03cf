"""Every table takes an entry from outside: one class or function and one line, used end to end."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from polyray.backbones import Backbone
from polyray.backbones.text import padded
from polyray.cli import main
from polyray.config import NoOptions, Section, load_config
from polyray.jobs.table import JOBS
from polyray.metrics import METRICS, AnswerMetric
from polyray.modules.kinds import MODULES
from polyray.modules.layout import Layout
from polyray.modules.mix import Mix, Rows
from polyray.modules.stack import Mixed, StackOptions
from polyray.objectives import OBJECTIVES, EvaluationOptions, Network, TextOptions
from polyray.objectives.choices import mean_embedding
from polyray.objectives.objective import InputRow, TensorBatch, in_batches
from polyray.objectives.questions import Question
from polyray.reports.page import Prose
from polyray.reports.page import Section as ReportSection
from polyray.reports.sections import SECTIONS
from polyray.routing import ROUTERS, Allocation, NewRow, Router
from polyray.routing.names import TaskNames, distinct
from polyray.runs.job import Job, Result
from polyray.runs.metrics import read_metrics
from polyray.runs.run import Run
from polyray.skills.inventory import load_inventory
from polyray.skills.skill import load_skill
from polyray.sweeps.fields import OneOf
from polyray.sweeps.space import Goal, Space
from polyray.tasks import TASKS, Suite, SuiteKind, Task, TextAnswers, load_suite
from polyray.training.fewshot import adapt_one
from polyray.training.model import load_model
from polyray.training.multitask import train
from polyray.training.pieces import AdaptationRecipe, Piece
from polyray.training.prediction import predict
from polyray.training.recipe import TrainingRecipe
from polyray.training.worker import Alone
from polyray.tune_spaces import SPACES
from polyray.tune_spaces.loading import load_space

TINY = (
    "training.steps=4", "training.batch=4", "training.report_every=2", "training.save_every=2",
    "evaluation.max_examples=2", "modules.sites=[fc1]",
)  # fmt: skip
PLANTED = (
    "tasks.planted.train_subsets=2", "tasks.planted.tasks_per_subset=1", "tasks.planted.test_subsets=1",
    "tasks.planted.train_examples=8", "tasks.planted.n_skills=2", "tasks.planted.subset_sizes=[1,2]",
)  # fmt: skip


def train_adapt_and_load(out: Path, *overrides: str, planted: bool = True) -> dict[str, Any]:
    """The metrics of a training; its skills are adapted, and both sets of skills loaded again."""
    overrides = (*TINY, *(PLANTED if planted else ()), *overrides)
    recipe = load_config(TrainingRecipe, overrides=overrides)
    metrics = train(recipe.model_dump(mode="json"), Run(out), Alone())
    trained = load_model(load_inventory(out / "skills"))
    assert trained.router.tasks.names
    suite = [x for x in overrides if x.startswith(("suite", "tasks"))]
    few = ["adapt.steps=2", "adapt.looks=1", f"skills={out / 'skills'}", "evaluation.max_examples=2"]
    adaptation = load_config(AdaptationRecipe, overrides=[*suite, *few])
    (task,) = load_suite(adaptation.tasks).partition["test"]
    outcome = adapt_one(Piece(recipe=adaptation, out=out / "adapted", task=task, seed=0, method="skills"))
    assert 0 <= outcome["score"] <= 1
    return metrics


def adapted_skill(out: Path) -> Path:
    """The skill that `train_adapt_and_load` left in `out`."""
    (skill,) = (out / "adapted" / "skills").iterdir()
    return skill


# A router: the skills of a task are those whose number its name's length names.


class ByLengthOptions(Section):
    n_skills: int = Field(3, ge=1)
    """Skills of the inventory."""


class ByLength(nn.Module):
    """Each task uses one skill: the length of its name modulo the number of skills."""

    Options: ClassVar[type[Section]] = ByLengthOptions
    speed: ClassVar[Literal["routing", "skills"]] = "routing"
    by_task: ClassVar[bool] = True
    trains_rows: ClassVar[bool] = False
    starts_afresh: ClassVar[bool] = False
    has_rows: ClassVar[bool] = False
    module_kinds: ClassVar[tuple[str, ...]] = ()

    def __init__(self, tasks: Sequence[str], layout: Layout, options: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.tasks, self.layout, self.options = TaskNames(tasks), layout, options

    @classmethod
    def from_state(cls, tasks: Sequence[str], layout: Layout, options: Any, state: Mapping[str, Tensor]) -> Self:
        return cls(tasks, layout, options, torch.Generator())

    @property
    def n_skills(self) -> int:
        n: int = self.options.n_skills
        return n

    def _table(self) -> Tensor:
        rows = [len(name) % self.n_skills for name in self.tasks.names]
        return nn.functional.one_hot(torch.tensor(rows), self.n_skills).float()

    def forward(self, tasks: Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Mix:
        row_tasks, row_of_example = distinct(self.tasks.rows(tasks))
        weights = self._table()[row_tasks]
        return Mix(weights[None, None], Rows(row_of_example, len(row_tasks), weights.device))

    def allocation(self) -> Allocation:
        return Allocation(probabilities=self._table()[None], tables=("all sites",), tasks=self.tasks.names)

    def same_mixture(self) -> list[int]:
        return list(range(len(self.tasks)))

    def log_prior(self) -> None:
        return None

    def for_task(self, name: str, relatives: Sequence[str], generator: torch.Generator, *, keep: bool) -> Router:
        return type(self)([name], self.layout, self.options, generator)

    def add_task(self, name: str, generator: torch.Generator, row: NewRow) -> None:
        self.tasks = self.tasks.with_new(name)


def test_a_router_from_outside_is_trained_with_adapted_saved_and_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ROUTERS, "by_length", ByLength)
    train_adapt_and_load(tmp_path, "routing.kind=by_length", "routing.n_skills=2")
    assert load_inventory(tmp_path / "skills").spec.routing.options == ByLengthOptions(n_skills=2)


# A module: a bias of each skill, scaled by an option of its own.


class BiasOptions(StackOptions):
    scale: float = 1.0
    """Factor of the bias."""


class BiasStack(nn.Module):
    """y = layer(x) + scale * sum_s w_s bias_s, for alike linear sites and all skills."""

    Options: ClassVar[type[StackOptions]] = BiasOptions
    blends: ClassVar[bool] = True
    joins: ClassVar[bool] = True
    by_token: ClassVar[bool] = True
    changes_weights: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False
    stacks: ClassVar[bool] = True
    inverts: ClassVar[bool] = False

    def __init__(self, layers: Sequence[nn.Module], n_skills: int, options: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.scale: float = options.scale
        width = layers[0].get_parameter("weight").shape[0]
        self.bias = nn.Parameter(torch.zeros(len(layers), 1, n_skills, width))

    def prepare(self, weights: Tensor) -> list[Mixed]:
        return list(torch.bmm(weights[:, 0], self.bias[:, 0]))

    def run(self, layer: nn.Module, mixed: Mixed, rows: Rows, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        y: Tensor = layer(*inputs, **named)
        bias: Tensor = mixed.index_select(0, rows.widen(len(y)).index)
        return y + self.scale * bias.view(len(y), *[1] * (y.dim() - 2), -1)

    def run_tokens(self, layer: nn.Module, site: int, weights: Tensor, x: Tensor) -> Tensor:
        y: Tensor = layer(x)
        return y + self.scale * (weights @ self.bias[site, 0])


@pytest.fixture
def bias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "bias", BiasStack)


@pytest.mark.parametrize("router", ["polytropon", "token_moe", "private"])
def test_a_module_from_outside_is_trained_adapted_saved_and_loaded(bias: None, router: str, tmp_path: Path) -> None:
    train_adapt_and_load(tmp_path, "modules.kind=bias", "modules.scale=2", f"routing.kind={router}")
    card = load_inventory(tmp_path / "skills").spec.modules
    assert (card.kind, card.options) == ("bias", BiasOptions(scale=2))


# A metric and a suite: numbers are spelled, and the first letter counts.


def initial(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Share of predictions that begin as the first answer does."""
    pairs = zip(predictions, answers, strict=True)
    return sum(prediction[:1] == accepted[0][:1] for prediction, accepted in pairs) / len(predictions)


class NumbersOptions(Section):
    up_to: int = Field(9, ge=1)
    """Largest number."""


def numbers(options: NumbersOptions) -> Suite:
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")[: options.up_to + 1]

    def read(step: int, split: str, seed: int) -> tuple[TextAnswers, ...]:
        shift = {"train": 0, "dev": 1, "test": 2}[split]
        return tuple(
            TextAnswers(task=f"plus-{step}", input=words[n], outputs=(words[(n + step) % len(words)],))
            for n in range(shift, len(words))
        )

    tasks = {
        f"plus-{step}": Task(
            name=f"plus-{step}", category="plus", metric="initial", labels=None, seeds=(0,), read=partial(read, step)
        )
        for step in range(3)
    }
    return Suite(name="numbers", tasks=tasks, partition={"train": ("plus-0", "plus-1"), "test": ("plus-2",)})


def test_a_suite_and_a_metric_from_outside_are_trained_on_adapted_to_and_scored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(METRICS, "initial", AnswerMetric(name="initial", function=initial))
    monkeypatch.setitem(TASKS, "numbers", SuiteKind(about="numbers", Options=NumbersOptions, load=numbers))
    scores = train_adapt_and_load(tmp_path, "suite=numbers", "tasks.up_to=5", planted=False)["tasks"]
    assert scores.keys() == {"plus-0", "plus-1"} and all(scores[task].keys() == {"initial"} for task in scores)
    (adapted,) = (tmp_path / "adapted" / "adapted").glob("plus-2-0-skills.json")
    assert json.loads(adapted.read_text())["metric"] == "initial"


# An objective with a head, its own examples and a metric of its own: the length of a word, read off an encoder.


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word and its length."""

    task: str
    word: str

    @property
    def line(self) -> str:
        return self.word

    def record(self) -> dict[str, Any]:
        return {"word": self.word, "length": len(self.word)}


@dataclass(frozen=True, kw_only=True)
class WordRow(InputRow):
    example: Word
    cut: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class WordBatch(TensorBatch):
    """tokens, mask [B, T]; lengths [B]."""

    tokens: Tensor
    mask: Tensor
    lengths: Tensor


class Counting:
    """Regression of a word's length on the mean of an encoder's states."""

    name, predicts, needs, otherwise = "counting", "lengths", "an encoder", ""
    stacks = False

    def fits(self, backbone: Backbone) -> bool:
        return backbone.reads_both_ways

    def encode(
        self, backbone: Backbone, tasks: Mapping[str, Task], examples: Sequence[Word], text: TextOptions
    ) -> list[WordRow]:
        return [WordRow(example=example, input=tuple(backbone.text.encode(example.word))) for example in examples]

    def collate(
        self, backbone: Backbone, rows: Sequence[WordRow], generator: torch.Generator | None = None
    ) -> WordBatch:
        tokens = padded([row.input for row in rows], backbone.text.pad)
        return WordBatch(
            objective=self.name, tasks=tuple(row.example.task for row in rows),
            counts=torch.ones(len(rows)), n_tokens=int(tokens.mask.sum()), tokens=tokens.ids,
            mask=tokens.mask, lengths=torch.tensor([float(len(row.example.word)) for row in rows]),
        )  # fmt: skip

    def _estimates(self, network: Network, batch: WordBatch) -> Tensor:
        hidden = network.backbone.model(input_ids=batch.tokens, attention_mask=batch.mask).last_hidden_state
        estimates: Tensor = network.heads["counting:words"](mean_embedding(hidden, batch.mask))[:, 0]
        return estimates

    def loss(self, network: Network, batch: WordBatch) -> Tensor:
        return (self._estimates(network, batch) - batch.lengths).square()

    def predict(
        self, network: Network, rows: Sequence[WordRow], options: EvaluationOptions, max_output: int
    ) -> list[float]:
        def estimates(chosen: list[WordRow]) -> list[float]:
            numbers: list[float] = self._estimates(network, self.collate(network.backbone, chosen)).tolist()
            return numbers

        return in_batches(network, rows, options.batch, estimates)

    def ask(self, backbone: Backbone, task: Task, questions: Sequence[Question], text: TextOptions) -> list[WordRow]:
        examples = [Word(task=task.name, word=question.text("input")) for question in questions]
        return self.encode(backbone, {task.name: task}, examples, text)

    def answer(
        self, network: Network, rows: Sequence[WordRow], options: EvaluationOptions, max_output: int
    ) -> list[float]:
        return self.predict(network, rows, options, max_output)

    def head_key(self, task: Task) -> str:
        return "counting:words"

    def head(self, backbone: Backbone, key: str, generator: torch.Generator) -> nn.Module:
        head = nn.Linear(64, 1)
        nn.init.normal_(head.weight, generator=generator)
        return head


class Near:
    """Share of lengths that are right within one letter."""

    name, scores, about = "near", "lengths", "share of lengths that are right within one letter"

    def score(self, predictions: Sequence[float], examples: Sequence[Word]) -> dict[str, float]:
        right = [abs(number - len(x.word)) <= 1 for number, x in zip(predictions, examples, strict=True)]
        return {self.name: sum(right) / len(right)}


def words(options: NoOptions) -> Suite:
    letters = {"short": 3, "long": 9, "middling": 6}

    def read(name: str, split: str, seed: int) -> tuple[Word, ...]:
        return tuple(Word(task=name, word=letter * letters[name]) for letter in "abcdefgh")

    tasks = {
        name: Task(
            name=name, category="", metric="near", labels=None, seeds=(0,), read=partial(read, name),
            objective="counting",
        )
        for name in letters
    }  # fmt: skip
    return Suite(name="words", tasks=tasks, partition={"train": ("short", "long"), "test": ("middling",)})


def test_an_objective_with_a_head_from_outside_is_trained_adapted_saved_and_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(OBJECTIVES, "counting", Counting())
    monkeypatch.setitem(METRICS, "near", Near())
    monkeypatch.setitem(TASKS, "words", SuiteKind(about="words", Options=NoOptions, load=words))
    encoder = ("backbone=tiny-encoder", "modules.sites=[ffn]", "training.steps=60", "training.lr=0.05")
    train_adapt_and_load(tmp_path, "suite=words", *encoder, planted=False)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.5 * losses[0]
    skill = load_skill(tmp_path / "skills" / "skill-0")
    assert {name: tuple(x.shape) for name, x in skill.heads.items()} == {
        "counting:words/weight": (1, 64), "counting:words/bias": (1,),
    }  # fmt: skip
    model = load_model(load_inventory(tmp_path / "skills"))
    assert torch.equal(model.heads["counting:words"].get_parameter("weight"), skill.heads["counting:words/weight"])
    for task, length in (("short", 3), ("long", 9)):
        assert predict(tmp_path / "skills", task, ["a" * length]) == [pytest.approx(length, abs=1)]
    outcome = json.loads(next((tmp_path / "adapted" / "adapted").iterdir()).read_text(encoding="utf-8"))
    assert predict(adapted_skill(tmp_path), "middling", ["aaaaaa", "bbbbbb"]) == pytest.approx(outcome["predictions"])


# A job, a space over it, and a section of its report: a walk of so many steps.


class WalkConfig(Section):
    """A walk."""

    steps: int = Field(3, ge=1)
    """Steps of the walk."""
    stride: float = Field(1.0, gt=0)
    """Length of a step."""


def walk(config: WalkConfig, run: Run) -> Result:
    run = run.phase("walk")
    for step in range(1, config.steps + 1):
        run.report(step, {"distance": step * config.stride})
    return Result(metrics={"mean": config.steps * config.stride})


def steps_taken(run: Path) -> ReportSection | None:
    lines = read_metrics(run, "walk")
    return ReportSection(heading="Walk", blocks=[Prose(text=f"{len(lines)} steps were taken.")]) if lines else None


def test_a_job_a_space_and_a_section_from_outside_are_run_drawn_from_and_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(JOBS, "walk", Job(about="Walks.", Config=WalkConfig, run=walk))
    monkeypatch.setitem(SECTIONS, "walk", steps_taken)
    space = Space(about="strides", job="walk", goal=Goal("mean"), fields={"stride": OneOf((0.5,))})
    monkeypatch.setitem(SPACES, "strides", space)
    draw = load_space("strides", "walk", WalkConfig).draw(random.Random(0))
    overrides = [f"{name}={value}" for name, value in draw.items()]
    for arguments in (("run", "walk", "--out", str(tmp_path / "run"), "steps=4", *overrides), ("list", "spaces")):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code
    assert "strides" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"] == {"mean": 2.0}
    page = tmp_path / "run" / "report.html"
    assert "4 steps were taken." in page.read_text()
    written = page.read_bytes()
    page.unlink()
    with pytest.raises(SystemExit) as end:
        main(["report", str(tmp_path / "run")])
    assert not end.value.code and page.read_bytes() == written
