"""Faithfulness critic: a classifier of pairs that tells whether a response rests on its knowledge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from pydantic import Field

from polyray.config import Section
from polyray.errors import InputError
from polyray.judges.frozen import CONFIG, Frozen, label_names
from polyray.lookup import lookup
from polyray.metrics.measurement import Floats
from polyray.modules.site import without_skills
from polyray.objectives.classification import Classification
from polyray.objectives.labels import labels_of
from polyray.objectives.questions import prompt_fields
from polyray.skills.skill import load_card
from polyray.tasks import LabelledTexts
from polyray.training.prediction import Predictor
from polyray.training.skill_source import SkillSource

Pair = tuple[str, str]  # knowledge, response


class CriticOptions(Section):
    """Faithfulness critic of responses."""

    files: ClassVar[frozenset[str]] = frozenset({"model"})

    model: str = ""
    """Folder of a skill that classifies pairs (knowledge, response), RUN/skills/NAME, or of a sequence classifier of
    transformers; empty: no critic."""
    unfaithful: tuple[str, ...] = ()
    """Labels by which the critic calls a response unfaithful; needed with `model`."""
    max_length: int = Field(256, ge=3)
    """Tokens of a pair at most; of longer ones the longer text is cut."""
    batch: int = Field(64, ge=1)
    """Pairs at once."""

    def unread(self) -> Mapping[str, str]:
        """All others where there is no network."""
        others = () if self.model else set(type(self).model_fields) - {"model"}
        return dict.fromkeys(others, "model is empty")


class Critic(Protocol):
    """A classifier of pairs.

    n_cut: pairs so far that were longer than they may be.
    """

    n_cut: int

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all its weights."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes."""

    @property
    def record(self) -> dict[str, Any]:
        """The network as it stands beside its scores."""

    def probabilities(self, pairs: Sequence[Pair]) -> Floats:
        """[N, labels], the probability of each label."""


def load_critic(options: CriticOptions) -> Critic:
    """The critic in the folder `options.model`.

    Raises:
        InputError: it is none, or one of `unfaithful` is not a label of it.
    """
    critic: Critic = (FolderCritic if (Path(options.model) / CONFIG).is_file() else SkillCritic)(options)
    if not options.unfaithful:
        raise InputError(
            f"critic.unfaithful: say which labels mean that a response is unfaithful. Labels of {options.model}: "
            f"{', '.join(critic.labels)}."
        )
    for label in options.unfaithful:
        lookup(dict.fromkeys(critic.labels), label, f"label of {options.model} (critic.unfaithful)")
    return critic


def unfaithfulness(critic: Critic, pairs: Sequence[Pair], unfaithful: Sequence[str]) -> tuple[Floats, Floats]:
    """For each pair whether the likeliest label is an unfaithful one, 0 or 1, and the probability of these labels."""
    probabilities = critic.probabilities(pairs)  # [N, labels]
    columns = [critic.labels.index(label) for label in unfaithful]
    likeliest = np.isin(probabilities.argmax(axis=1), columns)
    return likeliest.astype(np.float64), np.asarray(probabilities[:, columns].sum(axis=1))


class FolderCritic:
    """A sequence classifier of transformers that reads knowledge and response together."""

    def __init__(self, options: CriticOptions) -> None:
        self.options = options
        self._frozen = Frozen.load(options.model, "critic.model", "AutoModelForSequenceClassification")
        names = label_names(self._frozen)
        self.labels = tuple(names[number] for number in sorted(names))

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the network."""
        return self._frozen.fingerprint

    @property
    def n_cut(self) -> int:
        """Pairs so far that were longer than they may be."""
        return self._frozen.n_cut

    @n_cut.setter
    def n_cut(self, n: int) -> None:
        self._frozen.n_cut = n

    @property
    def record(self) -> dict[str, Any]:
        """Folder and fingerprint of the network, and pairs that were cut."""
        return self._frozen.record

    @torch.no_grad()
    def probabilities(self, pairs: Sequence[Pair]) -> Floats:
        """[N, labels], the softmax of its logits."""
        probabilities = np.zeros((len(pairs), len(self.labels)))
        encoded = self._frozen.encode(pairs, self.options.max_length)
        for indices, batch in self._frozen.batches(encoded, self.options.batch):
            probabilities[indices] = self._frozen.network(**batch).logits.double().softmax(-1).cpu().numpy()
        return probabilities


class SkillCritic:
    """A skill of the objective `classification` that reads knowledge and response, in this order."""

    def __init__(self, options: CriticOptions) -> None:
        self._card = load_card(Path(options.model))
        source = SkillSource.of(Path(options.model))
        name = source.task("")
        form = source.form(name, None)
        if form.objective != Classification.name or len(form.labels) < 2:
            raise InputError(
                f"critic.model={options.model}: its task {name!r} is put to the network by {form.objective!r}; a "
                "critic classifies pairs of texts."
            )
        text = form.text.model_copy(update={"too_long": "truncate", "max_input": options.max_length})
        predictor = Predictor.of(source, name, form, text)
        self._model, self._task, self._text, self.options = predictor.model, predictor.task, text, options
        fields = prompt_fields(self._task)
        if len(fields) != 2:
            raise InputError(
                f"critic.model={options.model} reads {', '.join(fields)}; a critic reads two texts, the "
                "knowledge and the response."
            )
        self._objective, self.n_cut = Classification(), 0
        self.labels = labels_of(self._objective.head_key(self._task))

    @property
    def fingerprint(self) -> str:
        """Fingerprints of the skill and of its backbone."""
        return f"{self._card.fingerprint} on {self._card.backbone.fingerprint}"

    @property
    def record(self) -> dict[str, Any]:
        """Folder and fingerprint of the skill, fingerprint of its backbone, and pairs that were cut."""
        return {
            "path": str(Path(self.options.model).absolute()), "fingerprint": self._card.fingerprint,
            "backbone": self._card.backbone.fingerprint, "cut": self.n_cut,
        }  # fmt: skip

    def probabilities(self, pairs: Sequence[Pair]) -> Floats:
        """[N, labels], the softmax of the head's logits."""
        examples = [LabelledTexts(task=self._task.name, texts=pair, label="") for pair in pairs]
        with without_skills(self._model.inventory):
            rows = self._objective.encode(self._model.backbone, {self._task.name: self._task}, examples, self._text)
        self.n_cut += sum(row.cut for row in rows)
        return np.asarray(self._objective.probabilities(self._model, rows, self.options.batch), dtype=np.float64)
