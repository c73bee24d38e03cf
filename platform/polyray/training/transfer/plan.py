"""The skills that a transfer needs, each an ordinary training, and in which order they can be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyray.config import dotted, load_config
from polyray.errors import InputError
from polyray.formats import file_name
from polyray.training.transfer.recipe import SkillsOptions, TransferRecipe
from polyray.training.tuning.recipe import TuningRecipe

TICKET, FULL, HEAD = "lottery_ticket", "full", "head"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A way to learn the task, one row of the table of results.

    method: key of TUNINGS. language: that of the languages' skills, empty without these. fields: of the recipe, by
    dotted name. density: of the entries, 0 where it is not what the study varies.
    """

    name: str
    method: str
    language: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    density: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PlannedTraining:
    """A skill to train.

    fields: of its `TuningRecipe`, by dotted name. base, heads, ranking: names of trainings that come first.
    """

    name: str
    fields: Mapping[str, Any]
    base: tuple[str, ...] = ()
    heads: str = ""
    ranking: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The trainings that come first."""
        return tuple(name for name in (*self.base, self.heads, self.ranking) if name)

    def recipe(self, folders: Mapping[str, Path]) -> TuningRecipe:
        """The recipe, once the skills of earlier trainings are in `folders`; those that are not there are left out.

        Raises:
            InputError: a field is wrong.
        """
        later: dict[str, Any] = {"base": tuple(str(folders[name]) for name in self.base if name in folders)}
        later |= {"heads": str(folders[self.heads])} if self.heads in folders else {}
        later |= {"method.ranking": str(folders[self.ranking])} if self.ranking in folders else {}
        return load_config(TuningRecipe, trial={**self.fields, **later})

    def check_ranking(self) -> None:
        """Refuse fields of a first phase where the changes of an earlier training take its place.

        Raises:
            InputError: there are some.
        """
        if self.ranking:
            try:
                self.recipe({self.ranking: Path(self.ranking)})
            except InputError as error:
                message = (
                    f"The training {self.name} takes the changes of {self.ranking} for its first phase (see share)"
                )
                raise InputError(f"{message}. {error}") from None


def rows_of(recipe: TransferRecipe) -> list[Row]:
    """The rows of the table of results."""
    if recipe.study == "density":
        language = recipe.composed.get(TICKET, "")
        methods = [TICKET, *(["random"] if "random" in recipe.methods else [])]
        return [
            Row(
                name=f"{method} {density:g}", method=method, language=language, fields={"method.density": density},
                density=density,
            )
            for method in methods
            for density in recipe.densities
        ]  # fmt: skip
    plain = [Row(name=method, method=method) for method in recipe.methods]
    return plain + [
        Row(name=f"{method} + language", method=method, language=language)
        for method, language in recipe.composed.items()
    ]


def language_training(method: str, language: str) -> str:
    """Name of the training of a language's skill."""
    return file_name(f"language-{method}-{language}")


def task_training(row: Row, seed: int) -> str:
    """Name of the training of the task's skill of a row."""
    return file_name(f"task-{row.name.replace(' ', '_')}-{seed}")


def trainings_of(recipe: TransferRecipe) -> dict[str, PlannedTraining]:
    """All skills to train, by name."""
    rows = rows_of(recipe)
    trainings = [*_languages(recipe, rows)]
    for row in rows:
        trainings += [training for seed in recipe.seeds for training in _tasks(recipe, row, seed)]
    return {training.name: training for training in trainings}


def _languages(recipe: TransferRecipe, rows: Sequence[Row]) -> list[PlannedTraining]:
    options, methods = recipe.languages, dict.fromkeys(row.language for row in rows if row.language)
    names = list(dict.fromkeys((options.source, *recipe.targets.values())))
    if not methods:
        return []
    shared = {"suite": "text", "tasks.path": options.path, "backbone": recipe.backbone}
    head = HEAD if options.head_steps else ""
    frozen = {"method.heads": "frozen"} if head else {}
    trainings = [
        PlannedTraining(
            name=language_training(method, name), heads=head,
            fields={
                **shared, "tasks.include": (name,), "name": name,
                **frozen, **_fields(options, method, options.training.seed),
            },
        )
        for method in methods
        for name in names
    ]  # fmt: skip
    if not head:
        return trainings
    fields = _fields(options, HEAD, options.training.seed) | {"training.steps": options.head_steps}
    return [
        PlannedTraining(name=HEAD, fields={**shared, "tasks.include": tuple(names), "name": HEAD, **fields}),
        *trainings,
    ]


def _tasks(recipe: TransferRecipe, row: Row, seed: int) -> list[PlannedTraining]:
    """The task's skill of a row, and before it the full fine-tuning whose changes it takes, if that is no row."""
    base = (language_training(row.language, recipe.languages.source),) if row.language else ()
    ranking = _ranking(recipe, row, seed)
    trainings = [_task(recipe, row, seed, base, ranking)]
    if recipe.study == "density" and ranking:
        trainings.insert(0, _task(recipe, _full(row), seed, base, ""))
    return trainings


def _ranking(recipe: TransferRecipe, row: Row, seed: int) -> str:
    """Name of the full fine-tuning that a lottery ticket takes its entries from; empty: it has a first phase."""
    if row.method != TICKET:
        return ""
    if recipe.study == "density":
        return task_training(_full(row), seed)
    shares = recipe.share and FULL in recipe.methods and not row.language
    return task_training(Row(name=FULL, method=FULL), seed) if shares else ""


def _full(row: Row) -> Row:
    return Row(name=f"{FULL} + language" if row.language else FULL, method=FULL, language=row.language)


def _task(recipe: TransferRecipe, row: Row, seed: int, base: tuple[str, ...], ranking: str) -> PlannedTraining:
    tasks = dotted({"tasks": recipe.model_dump(mode="json")["tasks"]}, levels=1)
    fields = {
        "suite": recipe.suite, **tasks, "tasks.include": (recipe.source,), "backbone": recipe.backbone,
        "name": recipe.source, **_fields(recipe.task, row.method, seed), **row.fields,
    }  # fmt: skip
    return PlannedTraining(name=task_training(row, seed), fields=fields, base=base, ranking=ranking)


def _fields(options: SkillsOptions, method: str, seed: int) -> dict[str, Any]:
    """Fields of the recipe of a skill by this method."""
    shared = options.model_dump(mode="json", include={"text", "training", "evaluation"})
    return {**dotted(shared, levels=1), "method.kind": method, **options.each.get(method, {}), "training.seed": seed}


def levels(trainings: Mapping[str, PlannedTraining]) -> list[list[PlannedTraining]]:
    """The trainings in groups of which each can be done side by side, after the groups before it."""
    done: set[str] = set()
    groups = []
    while len(done) < len(trainings):
        waiting = [training for training in trainings.values() if training.name not in done]
        ready = [training for training in waiting if done.issuperset(training.needs)]
        assert ready, "trainings need each other"
        groups.append(ready)
        done |= {training.name for training in ready}
    return groups
