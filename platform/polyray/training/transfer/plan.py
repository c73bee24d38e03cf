"""The skills that a transfer needs, each an ordinary training, and in which order they can be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyray.config import dotted, load_config
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
class Part:
    """A skill to train.

    fields: of its `TuningRecipe`, by dotted name. base, heads, ranking: names of parts that come first.
    """

    name: str
    fields: Mapping[str, Any]
    base: tuple[str, ...] = ()
    heads: str = ""
    ranking: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The parts that come first."""
        return tuple(name for name in (*self.base, self.heads, self.ranking) if name)

    def recipe(self, folders: Mapping[str, Path]) -> TuningRecipe:
        """The recipe, once the skills of the parts that come first are in `folders`; without them they are left out.

        Raises:
            InputError: a field is wrong.
        """
        later: dict[str, Any] = {"base": tuple(str(folders[name]) for name in self.base if name in folders)}
        later |= {"heads": str(folders[self.heads])} if self.heads in folders else {}
        later |= {"method.ranking": str(folders[self.ranking])} if self.ranking in folders else {}
        return load_config(TuningRecipe, trial={**self.fields, **later})


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


def language_part(method: str, language: str) -> str:
    """Name of the part that is a language's skill."""
    return file_name(f"language-{method}-{language}")


def task_part(row: Row, seed: int) -> str:
    """Name of the part that is the task's skill of a row."""
    return file_name(f"task-{row.name.replace(' ', '_')}-{seed}")


def parts_of(recipe: TransferRecipe) -> dict[str, Part]:
    """All skills to train, by name."""
    rows = rows_of(recipe)
    parts = [*_languages(recipe, rows)]
    for row in rows:
        parts += [part for seed in recipe.seeds for part in _tasks(recipe, row, seed)]
    return {part.name: part for part in parts}


def _languages(recipe: TransferRecipe, rows: Sequence[Row]) -> list[Part]:
    options, methods = recipe.languages, dict.fromkeys(row.language for row in rows if row.language)
    names = list(dict.fromkeys((options.source, *recipe.targets.values())))
    if not methods:
        return []
    shared = {"suite": "text", "tasks.path": options.path, "backbone": recipe.backbone}
    head = HEAD if options.head_steps else ""
    frozen = {"method.heads": "frozen"} if head else {}
    parts = [
        Part(
            name=language_part(method, name), heads=head,
            fields={
                **shared, "tasks.include": (name,), "name": name,
                **frozen, **_fields(options, method, options.training.seed),
            },
        )
        for method in methods
        for name in names
    ]  # fmt: skip
    if not head:
        return parts
    fields = _fields(options, HEAD, options.training.seed) | {"training.steps": options.head_steps}
    return [Part(name=HEAD, fields={**shared, "tasks.include": tuple(names), "name": HEAD, **fields}), *parts]


def _tasks(recipe: TransferRecipe, row: Row, seed: int) -> list[Part]:
    """The task's skill of a row, and before it the full fine-tuning whose changes it takes, if that is no row."""
    base = (language_part(row.language, recipe.languages.source),) if row.language else ()
    ranking = _ranking(recipe, row, seed)
    parts = [_task(recipe, row, seed, base, ranking)]
    if recipe.study == "density" and ranking:
        parts.insert(0, _task(recipe, _full(row), seed, base, ""))
    return parts


def _ranking(recipe: TransferRecipe, row: Row, seed: int) -> str:
    """Name of the full fine-tuning that a lottery ticket takes its entries from; empty: it has a first phase."""
    if row.method != TICKET:
        return ""
    if recipe.study == "density":
        return task_part(_full(row), seed)
    shares = recipe.share and FULL in recipe.methods and not row.language
    return task_part(Row(name=FULL, method=FULL), seed) if shares else ""


def _full(row: Row) -> Row:
    return Row(name=f"{FULL} + language" if row.language else FULL, method=FULL, language=row.language)


def _task(recipe: TransferRecipe, row: Row, seed: int, base: tuple[str, ...], ranking: str) -> Part:
    tasks = dotted({"tasks": recipe.model_dump(mode="json")["tasks"]}, levels=1)
    fields = {
        "suite": recipe.suite, **tasks, "tasks.include": (recipe.source,), "backbone": recipe.backbone,
        "name": recipe.source, **_fields(recipe.task, row.method, seed), **row.fields,
    }  # fmt: skip
    return Part(name=task_part(row, seed), fields=fields, base=base, ranking=ranking)


def _fields(options: SkillsOptions, method: str, seed: int) -> dict[str, Any]:
    """Fields of the recipe of a skill by this method."""
    shared = options.model_dump(mode="json", include={"text", "training", "evaluation"})
    return {**dotted(shared, levels=1), "method.kind": method, **options.each.get(method, {}), "training.seed": seed}


def levels(parts: Mapping[str, Part]) -> list[list[Part]]:
    """The parts in groups that can be trained side by side, each after those before it."""
    done: set[str] = set()
    groups = []
    while len(done) < len(parts):
        ready = [part for part in parts.values() if part.name not in done and done.issuperset(part.needs)]
        assert ready, "parts need each other"
        groups.append(ready)
        done |= {part.name for part in ready}
    return groups
