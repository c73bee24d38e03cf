"""Steps of a table of faithful dialogue, each an ordinary run of another job, and the rows that they give.

Daheim et al. 2024 (arXiv:2303.17574), table 2.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyray.errors import InputError
from polyray.responding.faithful.recipe import CONTROLLED, MERGED, FaithfulRecipe
from polyray.training.tuning.recipe import TuningOptions

SYSTEM, CONTROL, EXPERT, ANTI = "system", "control", "expert", "anti-expert"  # steps, or beginnings of their names
CHANNEL, LANGUAGE_MODEL = "channel", "language-model"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A run of another job in a folder of its own; needs: names of steps that come first."""

    name: str
    job: str
    fields: Mapping[str, Any]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """A row of the table: the step that answers and, for one network, the step of its likelihood."""

    name: str
    answers: str
    likelihood: str = ""


class Planner:
    """Steps and rows of a recipe; every step lies in a folder of `out` by its name.

    Raises:
        InputError: a row needs responses that are not given.
    """

    def __init__(self, recipe: FaithfulRecipe, out: Path) -> None:
        self._recipe, self._out = recipe, out
        self.steps: dict[str, Step] = {}
        self.rows = [row for name in recipe.rows for row in self._rows(name)]

    def skill(self, step: str) -> str:
        """Folder of the skill that a training writes."""
        return str(self._out / step / "skills" / step)

    def _rows(self, name: str) -> Iterator[TableRow]:
        start = CONTROL if name == "ctrl" or name.startswith(CONTROLLED) else SYSTEM
        merge = name.removeprefix(CONTROLLED)
        if merge in MERGED:
            step = self._merge(merge, self._system(start), name)
            for factor in self._recipe.factors(merge):
                model = {"backbone": str(self._out / step / "models" / f"{factor:g}")}
                yield self._row(f"{name} {factor:g}", start, model, (step,), alone=True)
            return
        network = {"skills": self.skill(self._system(start))}
        if name == "dexperts":
            helpers = {"expert": self._expert(start, EXPERT), "anti_expert": self._expert(start, ANTI)}
            yield self._row(name, start, network, (start,), system=name, helpers=helpers)
        elif name == "noisy_channel":
            helpers = {
                "channel": self._half(CHANNEL, "knowledge"), "language_model": self._half(LANGUAGE_MODEL, "ungrounded")
            }  # fmt: skip
            yield self._row(name, start, network, (start,), system=name, helpers=helpers)
        else:
            yield self._row(name, start, network, (start,), alone=True)

    def _row(
        self, name: str, start: str, network: Mapping[str, str], needs: tuple[str, ...], *, system: str = "plain",
        helpers: Mapping[str, str] | None = None, alone: bool = False,
    ) -> TableRow:  # fmt: skip
        recipe, helpers = self._recipe, helpers or {}
        options = {"kind": system, **{field: self.skill(step) for field, step in helpers.items()}}
        needs = (*needs, *helpers.values())
        shared = {"text": recipe.text.model_dump(mode="json"), **network}
        answers = self._add(
            f"answers {name}", "respond", needs,
            {**self._tasks(start), **shared, "system": options, "score": recipe.score.model_dump(mode="json"),
             "responses": recipe.responses.model_dump(mode="json"),
             "evaluation": recipe.evaluation.model_dump(mode="json")},
        )  # fmt: skip
        likelihood = ""
        if alone and recipe.held_out.given:
            likelihood = self._add(f"likelihood {name}", "likelihood", needs, {**recipe.held_out.fields, **shared})
        return TableRow(name=name, answers=answers, likelihood=likelihood)

    def _tasks(self, start: str, **more: Any) -> dict[str, Any]:
        """The system's own dialogues, with control tokens where it starts with them."""
        fields = self._recipe.fields
        control = {"control": {**fields["tasks"]["control"], "precision": True}} if start == CONTROL else {}
        return {**fields, "tasks": {**fields["tasks"], **control, **more}}

    def _system(self, start: str) -> str:
        return self._train(start, self._tasks(start), self._recipe.training, ())

    def _expert(self, start: str, kind: str) -> str:
        options = self._recipe.expert if kind == EXPERT else self._recipe.anti_expert
        if not options.given:
            name = "expert" if kind == EXPERT else "anti_expert"
            raise InputError(f"rows needs responses of an {kind}: set {name}.tasks.path, and {name}.tasks.select.")
        fields = options.fields
        if start == CONTROL:
            fields["tasks"]["control"] |= {"precision": True}
        return self._train(f"{kind}-of-{start}", fields, self._recipe.helpers, (self._system(start),))

    def _half(self, name: str, target: str) -> str:
        """A network of a noisy channel."""
        return self._train(name, self._tasks(SYSTEM, target=target), self._recipe.helpers, (self._system(SYSTEM),))

    def _train(self, name: str, data: Mapping[str, Any], training: TuningOptions, base: Sequence[str]) -> str:
        recipe = self._recipe
        return self._add(
            name, "dialogue", tuple(base),
            {**data, "backbone": recipe.backbone, "base": [self.skill(step) for step in base], "name": name,
             "text": recipe.text.model_dump(mode="json"), "method": recipe.method.model_dump(mode="json"),
             "training": training.model_dump(mode="json")},
        )  # fmt: skip

    def _merge(self, merge: str, start: str, name: str) -> str:
        row, anti = MERGED[merge], self._expert(start, ANTI)
        steps = [anti, *([self._expert(start, EXPERT)] if row.expert else [])]
        parts = [{"model": self.skill(step), "weight": -1.0 if step == anti else 1.0} for step in steps]
        fields: dict[str, Any] = {}
        needs = [start, *steps]
        if row.scale:
            fishers = [self._fisher(row.scale, start, above) for above in ([], [anti])]
            fields["base_fisher"], parts[0]["fisher"] = (self._fisher_file(step) for step in fishers)
            needs += fishers
        merged = {"kind": row.kind, **row.options}
        fields |= {
            "base": self._recipe.backbone, "base_skills": [self.skill(start)], "parts": parts, "merge": merged,
            "factors": list(self._recipe.factors(merge)),
        }  # fmt: skip
        return self._add(f"merge {name}", "merge", tuple(needs), fields)

    def _fisher(self, scale: str, start: str, above: Sequence[str]) -> str:
        options, base = self._recipe.fisher, [start, *above]
        labels = "sampled" if scale == "reference" else options.labels
        return self._add(
            f"fisher-{scale}-{base[-1]}", "fisher", tuple(base),
            {**self._tasks(start), "backbone": self._recipe.backbone, "base": [self.skill(step) for step in base],
             "split": "dev", "n": options.n, "labels": labels, "scale": scale, "batch": options.batch, "pieces": 1,
             "text": self._recipe.text.model_dump(mode="json")},
        )  # fmt: skip

    def _fisher_file(self, step: str) -> str:
        return str(self._out / step / "fisher" / "fisher.safetensors")

    def _add(self, name: str, job: str, needs: tuple[str, ...], fields: Mapping[str, Any]) -> str:
        """Add a step unless it is there: its name, with dashes for spaces."""
        step = name.replace(" ", "-")
        self.steps.setdefault(step, Step(name=step, job=job, fields=fields, needs=needs))
        return step

    def levels(self) -> list[list[Step]]:
        """The steps in the order in which they can be done; those of a level do not need each other."""
        level: dict[str, int] = {}
        for name, step in self.steps.items():  # what a step needs was added before it
            level[name] = 1 + max((level[need] for need in step.needs), default=-1)
        return [[step for name, step in self.steps.items() if level[name] == n] for n in range(1 + max(level.values()))]
