"""Two workers train the skill that one trains, exchange its entries alone, and go on exactly."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from fork_cases import in_child
from tuning_cases import Stopped, different, recipe_of, tune_alone, tune_with_stops, write_names

from polyray.cluster.train import RayWorker
from polyray.errors import Interrupted
from polyray.runs.run import Run
from polyray.skills.skill import load_skill
from polyray.skills.sparse_delta import SparseDelta, sparse_delta
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.table import TUNINGS
from polyray.training.tuning.training import tune

pytestmark = pytest.mark.processes  # two processes that wait for each other, and many starts


def run_member(rank: int, world: int, out: Path, recipe: TuningRecipe, stops: bool) -> None:
    """Tune as one of the workers, in a process of its own; begun again after every stop."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=rank, world_size=world)
    worker = RayWorker(rank=rank, world=world, device=torch.device("cpu"))
    for _ in range(100):
        try:
            tune(recipe.model_dump(mode="json"), (Stopped if stops else Run)(out, rank=rank), worker)
        except Interrupted:
            worker.gather(rank)  # the first one has saved
            continue
        return


def tune_together(out: Path, world: int, recipe: TuningRecipe, *, stops: bool = False) -> SparseDelta:
    """The skill of a tuning by so many workers."""
    out.mkdir()
    children = [in_child(partial(run_member, rank, world, out, recipe, stops)) for rank in range(world)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * world
    return sparse_delta(load_skill(out / "skills" / "names"))


def test_two_workers_train_what_one_trains_and_go_on_exactly(tmp_path: Path) -> None:
    write_names(tmp_path / "data")
    recipe = recipe_of(tmp_path / "data", "method.k=300", "method.iterations=2", "training.steps=3")
    alone = tune_together(tmp_path / "alone", 1, recipe)
    together = tune_together(tmp_path / "two", 2, recipe)
    tune_together(tmp_path / "stopped", 2, recipe, stops=True)
    assert not different(tmp_path / "two", tmp_path / "stopped")
    supports = [
        {(name, index) for name, change in delta.changes.items() for index in change.support.tolist()}
        for delta in (alone, together)
    ]
    assert len(supports[0]) == len(supports[1]) == 300 and len(supports[0] & supports[1]) > 290
    for name, change in alone.changes.items():
        difference = change.dense() - together.changes[name].dense()
        assert float(difference.abs().median()) < 1e-5 and float(change.values.abs().max()) > 1e-3
    for name, head in alone.heads.items():
        torch.testing.assert_close(together.heads[name], head, rtol=1e-3, atol=1e-4)


def test_two_workers_exchange_the_entries_that_one_exchanges(tmp_path: Path) -> None:
    write_names(tmp_path / "data")
    more = ("method.every=2", "method.accumulate=1", "training.steps=4", "training.keep=last")
    recipe = recipe_of(tmp_path / "data", "method.kind=spiel", "method.k=300", *more)
    alone = tune_together(tmp_path / "alone", 1, recipe)
    together = tune_together(tmp_path / "two", 2, recipe)
    tune_together(tmp_path / "stopped", 2, recipe, stops=True)
    assert not different(tmp_path / "two", tmp_path / "stopped")
    supports = [
        {(name, index) for name, change in delta.changes.items() for index in change.support.tolist()}
        for delta in (alone, together)
    ]
    assert len(supports[0]) == len(supports[1]) == 300
    assert len(supports[0] & supports[1]) > 150  # of 119,000: candidates are each worker's largest gradients


def test_every_method_goes_on_exactly_when_it_is_stopped_after_every_step(tmp_path: Path) -> None:
    write_names(tmp_path / "data")
    wrong = []
    for kind in TUNINGS:
        recipe = recipe_of(tmp_path / "data", f"method.kind={kind}")
        tune_alone(tmp_path / kind, recipe)
        assert tune_with_stops(tmp_path / f"{kind}-stopped", recipe) > 1
        wrong += [f"{kind}: {file}" for file in different(tmp_path / kind, tmp_path / f"{kind}-stopped")]
    assert not wrong, wrong


def test_two_sources_of_which_one_has_a_skill_beneath_go_on_exactly(tmp_path: Path) -> None:
    write_names(tmp_path / "data", "first")
    write_names(tmp_path / "data", "second", seed=1)
    language = recipe_of(tmp_path / "data", "method.kind=random", "method.k=4000", "name=language")
    tune_alone(tmp_path / "language", language)
    folder = tmp_path / "language" / "skills" / "language"
    recipe = recipe_of(tmp_path / "data", "method.k=80", f"sources={{first: [{folder}]}}", "training.steps=4")
    metrics = tune_alone(tmp_path / "run", recipe)
    assert list(metrics["tasks"]) == ["first", "second"]
    tune_with_stops(tmp_path / "stopped", recipe)
    assert not different(tmp_path / "run", tmp_path / "stopped")
