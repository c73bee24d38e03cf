"""A folder of skills as the source of a model for one task: an inventory, or the one skill of a task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

from polyray.backbones.backbone import Kind
from polyray.backbones.precision import SkillsDtype
from polyray.errors import InputError
from polyray.lookup import lookup, suggestion
from polyray.skills.card import CARD, BackboneCard
from polyray.skills.form import TaskForm
from polyray.skills.inventory import load_inventory
from polyray.skills.inventory_card import CARD as INVENTORY_CARD
from polyray.skills.inventory_card import FOLDER
from polyray.skills.skill import load_skill
from polyray.training.model import Modular, load_model
from polyray.training.single import load_single

FIRST_WITH_FORMS = 2  # the schema of folders


@dataclass(frozen=True, kw_only=True)
class SkillSource:
    """Skills on disk that predict for some tasks.

    Attributes:
        tasks: that the skills know; forms: of those tasks, where the folder has them.
        load: called with tasks, it gives the model that predicts for them; one skill also for tasks that are new to it.
    """

    path: Path
    backbone: BackboneCard
    tasks: tuple[str, ...]
    forms: Mapping[str, TaskForm]
    load: Callable[[Sequence[str]], Modular]

    def __post_init__(self) -> None:
        if self.backbone.kind and self.backbone.kind not in get_args(Kind):
            raise InputError(
                f"{self.path} holds skills of {self.backbone.name!r}, of the kind {self.backbone.kind!r}, which reads "
                "no texts. An agent is scored by `polyray run evaluate`."
            )

    @classmethod
    def of(cls, path: Path, dtype: SkillsDtype = "card", base: Sequence[str] = ()) -> Self:
        """The skills in the folder `path`.

        Args:
            dtype: number format of the backbone's weights; card: as in training.
            base: folders of skills beneath the one skill; empty: those from its training, `none`: none.

        Raises:
            InputError: it holds none, is damaged, or holds skills of an agent or one that no task uses alone.
        """
        if (path / FOLDER / INVENTORY_CARD).exists():
            inventory = load_inventory(path)
            card = inventory.card
            refuse_base(path, base)
            return cls(
                path=path, backbone=card.backbone, tasks=card.tasks, forms=card.forms,
                load=lambda tasks: load_model(inventory, dtype),
            )  # fmt: skip
        if not (path / CARD).exists():
            inner = path / "skills"
            near = next(filter(is_source, (inner, *sorted(inner.glob("*")), *sorted(path.glob("*")))), None)
            hint = f" Did you mean {near}?" if near else ""
            raise InputError(f"{path} holds no skills: expected RUN/skills, or the folder of one skill.{hint}")
        _refuse_shared(path)
        skill = load_skill(path)
        if skill.card.schema_version < FIRST_WITH_FORMS:
            raise InputError(
                f"{path} was written by Polyray {skill.card.polyray}, which did not note the backbone that was trained "
                "with a skill. Lift or adapt it again."
            )
        tasks = skill.card.tasks or (skill.card.name,)  # an imported adapter names no task
        return cls(
            path=path, backbone=skill.card.backbone, tasks=tasks, forms=skill.card.forms,
            load=lambda tasks: load_single(path, skill, tasks, dtype, base),
        )  # fmt: skip

    def task(self, name: str) -> str:
        """The task called `name`; where it is empty the only one.

        Raises:
            InputError: the skills know no such task (the message gives the nearest), or there are several.
        """
        if not name and len(self.tasks) == 1:
            return self.tasks[0]
        if not name:
            raise InputError(f"{self.path} has several tasks: set task=NAME. {suggestion(name, self.tasks)}")
        lookup(dict.fromkeys(self.tasks), name, f"task of {self.path}")
        return name

    def form(self, task: str, form: TaskForm | None) -> TaskForm:
        """The form of `task`: the folder's own, else `form`.

        Raises:
            InputError: there are both, or none.
        """
        if task in self.forms and form is not None:
            raise InputError(f"{self.path} has the form of the task {task!r} itself: leave form.* out.")
        if task not in self.forms and (form is None or not form.prompt):
            raise InputError(
                f"{self.path} does not say how the task {task!r} is put to the network: it was imported, or written by "
                "an older Polyray. Say it with form.prompt and, where they are needed, form.objective, form.labels: "
                f"form.prompt='[{task}] {{input}}'."
            )
        return self.forms[task] if form is None else form


def is_source(folder: Path) -> bool:
    """Whether the folder holds an inventory or one skill."""
    return (folder / FOLDER / INVENTORY_CARD).exists() or (folder / CARD).exists()


def refuse_base(path: Path, base: Sequence[str]) -> None:
    """Refuse skills beneath an inventory.

    Raises:
        InputError: some are named.
    """
    if base:
        raise InputError(f"base=[{', '.join(base)}] lies beneath one skill; {path} holds an inventory of several.")


def _refuse_shared(path: Path) -> None:
    """Refuse one of the skills of an inventory, which tasks use in a mix only.

    Raises:
        InputError: it is one.
    """
    library = path.resolve().parent
    if (library / FOLDER / INVENTORY_CARD).exists() and path.resolve().name in load_inventory(library).card.skills:
        raise InputError(
            f"{path} is one of the skills that the tasks of {path.parent} mix. Use skills={path.parent}, or a skill "
            "that `polyray skills lift` made of it."
        )
