"""The systems of a comparison of combined skills: their answers, scores and costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from polyray.analysis.bootstrap import interval, resampled_scores
from polyray.analysis.hierarchy import clusters, hierarchy
from polyray.tasks import Suite
from polyray.training.combining.pieces import CHOSEN_ON, examples_of
from polyray.training.combining.plan import MERGED, Members, group_piece
from polyray.training.combining.recipe import CombineRecipe
from polyray.training.combining.systems import (
    Answers,
    Floats,
    Probabilities,
    averaged,
    centroid,
    greedy_subset,
    nearest,
    probabilities,
)

Scores = Mapping[str, Mapping[str, Floats]]  # by piece and split: of all candidates of one example after the other
Embeddings = Mapping[str, Floats]


@dataclass(frozen=True, kw_only=True)
class System:
    """A way to answer: the answers, passes of the network for an example, and skills, or merged networks, in memory."""

    answers: Answers
    passes: int
    in_memory: int


class Examples:
    """The examples of one split, and the candidates of each."""

    def __init__(self, recipe: CombineRecipe, suite: Suite, tasks: Sequence[str], split: str) -> None:
        self.split, self._tasks = split, {name: suite.tasks[name] for name in tasks}
        self.examples = examples_of(recipe, suite, tasks, split)
        self.candidates = [self._tasks[example.task].candidates(example) for example in self.examples]
        self._of_task = {
            name: [number for number, example in enumerate(self.examples) if example.task == name] for name in tasks
        }

    def probabilities(self, scores: Scores, names: Sequence[str]) -> Probabilities:
        """For each example what the pieces called `names` give to its candidates."""
        return probabilities([scores[name][self.split] for name in names], list(map(len, self.candidates)))

    def score(self, answers: Answers) -> dict[str, dict[str, float]]:
        """{metric: value} of each task."""
        return {name: self._score(name, answers, numbers) for name, numbers in self._of_task.items()}

    def mean(self, answers: Answers) -> float:
        """The mean over tasks of their own metrics."""
        return float(np.mean([next(iter(values.values())) for values in self.score(answers).values()]))

    def bounds(self, answers: Answers, n_draws: int) -> dict[str, float]:
        """The 95 % interval of the mean over tasks, the examples of each task drawn again."""
        if not n_draws:
            return {}
        draws = [
            resampled_scores(
                lambda chosen, name=name, numbers=numbers: next(  # type: ignore[misc]  # bound as it is now
                    iter(self._score(name, answers, [numbers[index] for index in chosen]).values())
                ),
                len(numbers), n_draws, seed=index,
            )
            for index, (name, numbers) in enumerate(self._of_task.items())
        ]  # fmt: skip
        low, high = interval(list(np.mean(draws, axis=0)))
        return {"low": low, "high": high}

    def _score(self, name: str, answers: Answers, numbers: Sequence[int]) -> dict[str, float]:
        predicted = [self.candidates[number][answers[number]] for number in numbers]
        return self._tasks[name].score(predicted, [self.examples[number] for number in numbers])


def centroids_of(members: Members, embeddings: Embeddings) -> Floats:
    """[skills, D], each the mean direction of the training inputs of a skill's tasks."""
    tasks = [[task for task, owner in members.owners.items() if owner == n] for n in range(len(members.folders))]
    return np.stack(
        [centroid(np.concatenate([embeddings[f"train/{task}"] for task in of_skill])) for of_skill in tasks]
    )


def groups_of(centroids: Floats, n: int) -> list[tuple[int, ...]]:
    """The skills in n clusters by the cosine of their centroids (average linkage), in the order of first members."""
    labels = clusters(hierarchy(centroids, metric="cosine"), n)
    groups: dict[int, tuple[int, ...]] = {}
    for number, label in enumerate(labels.tolist()):
        groups[label] = (*groups.get(label, ()), number)
    return list(groups.values())


def all_groups(recipe: CombineRecipe, centroids: Floats) -> dict[int, list[tuple[int, ...]]]:
    """The groups for each number of clusters below that of the skills."""
    return {n: groups_of(centroids, n) for n in recipe.clusters if 1 < n < len(centroids)}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that the systems of a run are computed from.

    scored: the examples that are scored. alone: for each what every skill alone gives to its candidates.
    """

    recipe: CombineRecipe
    suite: Suite
    members: Members
    scores: Scores
    embeddings: Embeddings
    scored: Examples
    alone: Probabilities

    @classmethod
    def of(cls, recipe: CombineRecipe, suite: Suite, members: Members, scores: Scores, embeddings: Embeddings) -> Self:
        """The comparison, from the tensors of its pieces."""
        scored = Examples(recipe, suite, members.tasks, recipe.split)
        alone = scored.probabilities(scores, members.pieces)
        return cls(
            recipe=recipe, suite=suite, members=members, scores=scores, embeddings=embeddings, scored=scored,
            alone=alone,
        )  # fmt: skip

    @cached_property
    def centroids(self) -> Floats:
        """[skills, D], see `centroids_of`."""
        return centroids_of(self.members, self.embeddings)

    @cached_property
    def groups(self) -> dict[int, list[tuple[int, ...]]]:
        """See `all_groups`."""
        return all_groups(self.recipe, self.centroids)

    def systems(self) -> dict[str, System]:
        """Every way to answer, by its name in tables."""
        return {**self._ensembles(), **self._merges(), **self._routed(), **self._clustered()}

    def _ensembles(self) -> dict[str, System]:
        """Each task's own skill; the mean over all skills, and over the best few on the dev examples."""
        n = len(self.members.folders)
        answers = averaged(self.alone, [[self.members.owners[example.task]] for example in self.scored.examples])
        systems = {"own skill": System(answers=answers, passes=1, in_memory=n)}
        subsets = self._subsets(n)
        for name, subset in (("ensemble of all", tuple(range(n))), *((f"ensemble of {len(x)}", x) for x in subsets)):
            answers = averaged(self.alone, [subset] * len(self.alone))
            systems[name] = System(answers=answers, passes=len(subset), in_memory=len(subset))
        return systems

    def _subsets(self, n: int) -> list[tuple[int, ...]]:
        sizes = [size for size in self.recipe.subsets if size < n]
        if not sizes:
            return []
        dev = Examples(self.recipe, self.suite, self.members.tasks, CHOSEN_ON)
        alone = dev.probabilities(self.scores, self.members.pieces)
        largest = greedy_subset(n, max(sizes), lambda subset: dev.mean(averaged(alone, [subset] * len(alone))))
        return [largest[:size] for size in sizes]

    def _merges(self) -> dict[str, System]:
        """All skills merged into one network."""
        systems = {}
        for way in self.recipe.ways:
            merged = self.scored.probabilities(self.scores, [f"{MERGED}-{way}"])
            systems[f"merged, {way}"] = System(answers=averaged(merged, [(0,)] * len(merged)), passes=1, in_memory=1)
        return systems

    def _routed(self) -> dict[str, System]:
        """For each example the skills whose training inputs are nearest; the router takes a pass of the backbone."""
        centroids, inputs = self.centroids, self.embeddings[self.recipe.split]
        n = len(centroids)
        return {
            f"routed to {k}": System(
                answers=averaged(self.alone, nearest(inputs, centroids, k).tolist()), passes=k + 1, in_memory=n
            )
            for k in self.recipe.routed
            if k <= n
        }

    def _clustered(self) -> dict[str, System]:
        """For each example the nearest cluster, whose skills are merged."""
        inputs, systems = self.embeddings[self.recipe.split], {}
        for n, groups in self.groups.items():
            middles = np.stack([centroid(self.centroids[list(group)]) for group in groups])
            chosen = nearest(inputs, middles, 1).tolist()
            for way in self.recipe.ways:
                names = [group_piece(way, group) for group in groups]
                answers = averaged(self.scored.probabilities(self.scores, names), chosen)
                systems[f"routed to 1 of {n} clusters, {way}"] = System(answers=answers, passes=2, in_memory=n)
        return systems

    def metrics(self) -> dict[str, Any]:
        """The run's: `mean` and `tasks` with each task's own skill; `systems`, all with their costs; `clusters`."""
        rows = {
            name: {
                "mean": self.scored.mean(system.answers), **self.scored.bounds(system.answers, self.recipe.resamples),
                "passes": system.passes, "in_memory": system.in_memory, "tasks": self.scored.score(system.answers),
            }
            for name, system in self.systems().items()
        }  # fmt: skip
        names = self.members.names
        clustered = {str(n): [[names[i] for i in group] for group in of_n] for n, of_n in self.groups.items()}
        expert = rows["own skill"]
        return {"mean": expert["mean"], "tasks": expert["tasks"], "systems": rows, "clusters": clustered}
