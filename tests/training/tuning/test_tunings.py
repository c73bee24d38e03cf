"""Every way to train one skill of a whole network: what it changes, what it saves, and that it goes on exactly."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from job_cases import TINY_SUITE
from torch import Tensor
from tuning_cases import TINY, different, recipe_of, tune_alone, tune_with_stops, write_names

from polyray.backbones import load_backbone
from polyray.config import load_config
from polyray.errors import InputError, RunError
from polyray.modules.kinds import MODULES
from polyray.objectives import heads_for
from polyray.objectives.choices import embed
from polyray.reuse import Shelf, reusing
from polyray.skills.delta import fold
from polyray.skills.skill import load_skill, save_skill
from polyray.skills.sparse_delta import SparseDelta, sparse_delta, sparse_skill
from polyray.sparsity import Budget, Distances, largest_plainly
from polyray.tasks import load_suite
from polyray.training.batches import TrainingData
from polyray.training.data import Encoded
from polyray.training.model import Modular, bare
from polyray.training.optimizers import set_rates
from polyray.training.skill_source import SkillSource
from polyray.training.tuning.beginning import start_of
from polyray.training.tuning.beginning import tests_of as encoded_tests
from polyray.training.tuning.origin import recipe_fingerprint
from polyray.training.tuning.recipe import TuningRecipe
from polyray.training.tuning.selection import check_agreement
from polyray.training.tuning.sensitivity import SensitivityOptions, most_sensitive
from polyray.training.tuning.sources import Sources
from polyray.training.tuning.table import TUNINGS
from polyray.training.worker import Alone


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_names(folder)
    return folder


@pytest.fixture(autouse=True, scope="module")
def _shelf() -> Iterator[None]:
    """Load backbone and suite once."""
    with reusing(Shelf()):
        yield


def test_every_method_changes_what_it_says(data: Path, tmp_path: Path) -> None:
    for kind in TUNINGS:
        recipe = recipe_of(data, f"method.kind={kind}")
        metrics = tune_alone(tmp_path / kind, recipe)
        skill = load_skill(tmp_path / kind / "skills" / "names")
        card = skill.card
        assert (card.method, card.tasks, len(card.recipe)) == (kind, ("names",), 64)
        assert 0 <= metrics["mean"] <= 1 and metrics["validation"]["step"] in (1, 2)
        if card.kind in MODULES:
            assert TUNINGS[kind].changes_weights == MODULES[card.kind].changes_weights
            continue
        n_entries = changed_entries(tmp_path / kind / "skills" / "names")
        assert metrics["parameters"]["entries"] == card.options["entries"] == n_entries, kind


def test_answers_are_embedded_by_the_network_without_the_skill(data: Path, tmp_path: Path) -> None:
    tune_alone(tmp_path / "full", recipe_of(data, "method.kind=full"))
    with_skill = SkillSource.of(tmp_path / "full" / "skills" / "names").load(["names"]).backbone
    pretrained = load_backbone("tiny-encoder")
    for backbone in (with_skill, pretrained):
        embed(backbone, ["yes"])
    assert torch.equal(with_skill.anchors["yes"], pretrained.anchors["yes"])
    assert not torch.equal(with_skill.embeddings, pretrained.embeddings)


def changed_entries(folder: Path) -> int:
    """The number of entries of a skill; all others keep their bits when it is put on the backbone."""
    skill, network = load_skill(folder), load_backbone("tiny-encoder").network
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    fold(skill, network)
    delta = sparse_delta(skill)
    for name, parameter in network.named_parameters():
        same = parameter.detach().view(torch.int32) == before[name].view(torch.int32)
        if name in delta.changes:
            same.view(-1)[delta.changes[name].support] = True
        assert bool(same.all()), name
    return delta.n_entries


def test_lottery_ticket_is_the_algorithm_of_the_paper(data: Path, tmp_path: Path) -> None:
    more = ("method.k=50", "training.keep=last", "method.pull=0.5", "training.clip=0.1")
    recipe = recipe_of(data, *more)
    tune_alone(tmp_path / "run", recipe)
    delta = sparse_delta(load_skill(tmp_path / "run" / "skills" / "names"))
    plain, support = plain_ticket(recipe)
    supports = {name: indices.tolist() for name, indices in support.items() if len(indices)}
    assert {name: change.support.tolist() for name, change in delta.changes.items()} == supports
    assert sum(map(len, supports.values())) == 50
    for name, change in delta.changes.items():
        torch.testing.assert_close(change.values, plain[name].view(-1)[support[name]], rtol=0, atol=1e-6)
    assert max(float(change.values.abs().max()) for change in delta.changes.values()) > 1e-2


def plain_ticket(recipe: TuningRecipe) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """LT-SFT as its paper tells it, with whole gradients and masks: the change of every parameter, and the support."""
    suite, backbone = load_suite(recipe.tasks), load_backbone(recipe.backbone)
    data = TrainingData(recipe, suite, backbone, Alone())
    heads = heads_for(backbone, list(suite.tasks.values()), torch.Generator().manual_seed(recipe.training.seed))
    model = bare(backbone, list(suite.tasks), heads)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = [name for name, _ in backbone.network.named_parameters() if "LayerNorm" not in name]
    masks: dict[str, Tensor] | None = None
    for _ in range(2):
        model.load_state_dict(state)
        data.restart()
        train_plainly(model, names, data, recipe, masks)
        trained = {name: backbone.network.get_parameter(name).detach().clone() for name in names}
        origin = {name: state[f"network.{name}"] for name in names}
        if masks is None:
            support = largest_plainly(Distances(trained, origin), 50)
            masks = {name: torch.zeros_like(tensor, dtype=torch.bool) for name, tensor in trained.items()}
            for name, indices in support.items():
                masks[name].view(-1)[indices] = True
    return {name: trained[name] - origin[name] for name in names}, support


def train_plainly(
    model: Any, names: list[str], data: TrainingData, recipe: TuningRecipe, masks: dict[str, Tensor] | None
) -> None:
    """One phase: AdamW, a linear schedule, L1 towards the start, clipping; under masks where there are any."""
    entries = [model.network.get_parameter(name) for name in names]
    heads = list(model.heads.parameters())
    start = [parameter.detach().clone() for parameter in (*entries, *heads)]
    strength = 0.5 / sum(parameter.numel() for parameter in model.network.parameters())
    adam = torch.optim.AdamW([*entries, *heads], lr=recipe.training.lr, weight_decay=0.0)
    adam.param_groups[0]["peak"] = recipe.training.lr
    model.train()
    for step in range(recipe.training.steps):
        set_rates(adam, step, recipe.training.steps, 0.0)
        batch = data.draw()
        model.inventory.slot.opened = True
        model(batch).backward()
        model.inventory.slot.opened = False
        for parameter, before in zip([*entries, *heads], start, strict=True):
            assert parameter.grad is not None
            parameter.grad += strength * (parameter.detach() - before).sign()
        for name, parameter in zip(names, entries, strict=True):
            if masks is not None and parameter.grad is not None:
                parameter.grad *= masks[name]
        torch.nn.utils.clip_grad_norm_([*entries, *heads], recipe.training.clip)
        adam.step()
        model.zero_grad()


PULLED = ("method.pull=0.1", "method.heads=frozen")


def test_iterations_share_the_entries_and_stops_in_any_phase_change_nothing(data: Path, tmp_path: Path) -> None:
    recipe = recipe_of(data, "method.k=101", "method.iterations=2", "method.full_steps=2", "training.seed=1", *PULLED)
    tune_alone(tmp_path / "run", recipe)
    starts = tune_with_stops(tmp_path / "stopped", recipe)
    assert starts >= 4 and not different(tmp_path / "run", tmp_path / "stopped")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    phases = list(dict.fromkeys(line["phase"] for line in lines))
    assert phases == ["full", "sparse", "full_2", "sparse_2"]
    assert changed_entries(tmp_path / "run" / "skills" / "names") == 101


def test_the_changes_of_full_fine_tuning_take_the_place_of_a_first_phase(data: Path, tmp_path: Path) -> None:
    tune_alone(tmp_path / "one", recipe_of(data, "method.k=70", "method.per=tensor"))
    tune_alone(tmp_path / "full", recipe_of(data, "method.kind=full"))
    ranking = tmp_path / "full" / "skills" / "names"
    tune_alone(tmp_path / "two", recipe_of(data, "method.k=70", "method.per=tensor", f"method.ranking={ranking}"))
    first, second = (load_skill(tmp_path / name / "skills" / "names") for name in ("one", "two"))
    assert first.card.fingerprint == second.card.fingerprint and first.card.options["entries"] == 70
    with pytest.raises(InputError, match=r"119000 entries are to be selected, and .* changes only \d+ of those"):
        tune_alone(tmp_path / "many", recipe_of(data, "method.k=119000", f"method.ranking={ranking}"))
    delta = sparse_delta(first)
    halved = {name: replace(x, values=x.values * (torch.arange(x.n_entries) % 2)) for name, x in delta.changes.items()}
    n_changed = sum(int(x.values.count_nonzero()) for x in halved.values())
    skill = sparse_skill(SparseDelta(changes=halved), name="half", backbone=first.card.backbone)
    save_skill(skill, tmp_path / "half")
    with pytest.raises(InputError, match=f"70 entries are to be selected, and .* changes only {n_changed} of those"):
        tune_alone(tmp_path / "few", recipe_of(data, "method.k=70", f"method.ranking={tmp_path / 'half'}"))
    tune_alone(tmp_path / "all", recipe_of(data, f"method.k={n_changed}", f"method.ranking={tmp_path / 'half'}"))
    chosen = sparse_delta(load_skill(tmp_path / "all" / "skills" / "names")).changes
    assert sum(x.n_entries for x in chosen.values()) == n_changed


def test_texts_that_were_cut_are_counted(data: Path, tmp_path: Path) -> None:
    metrics = tune_alone(tmp_path / "run", recipe_of(data, "text.max_input=7", "text.too_long=truncate"))
    whole = tune_alone(tmp_path / "whole", recipe_of(data))
    assert 0 < metrics["too_long"] <= 12 + 4 and whole["too_long"] == 0


def test_a_budget_above_the_changed_entries_says_how_many_changed(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"119000 entries are to be selected, and only 1\d\d\d\d\d entries of .*chang"):
        tune_alone(tmp_path / "run", recipe_of(data, "method.k=119000"))
    with pytest.raises(InputError, match="cannot share 2 entries"):
        tune_alone(tmp_path / "few", recipe_of(data, "method.k=2", "method.iterations=3"))
    with pytest.raises(InputError, match="ranking takes the place of the first phase"):
        load_config(TuningRecipe, overrides=[*TINY, "method.ranking=x", "method.full_steps=3"])


def test_heads_of_tasks_that_have_none_cannot_be_trained(tmp_path: Path) -> None:
    more = ("backbone=tiny-seq2seq", "method.kind=head", "training.steps=1")
    with pytest.raises(InputError, match=r"method\.kind=head trains heads, and the tasks have none"):
        tune_alone(tmp_path / "run", load_config(TuningRecipe, overrides=["suite=planted", *TINY_SUITE, *more]))


def test_skills_beneath_and_heads_of_another_skill_are_the_start(data: Path, tmp_path: Path) -> None:
    tune_alone(tmp_path / "first", recipe_of(data, "method.kind=random", "name=first"))
    first = tmp_path / "first" / "skills" / "first"
    recipe = recipe_of(data, "method.kind=head", f"base=[{first}]", f"heads={first}", "training.lr=1e-30")
    tune_alone(tmp_path / "second", recipe)
    skill, other = load_skill(tmp_path / "second" / "skills" / "names"), load_skill(first)
    assert [base.fingerprint for base in skill.card.base] == [other.card.fingerprint]
    for name, tensor in other.heads.items():
        torch.testing.assert_close(skill.heads[name], tensor)
    scores = [
        json.loads((tmp_path / run / "metrics.jsonl").read_text().splitlines()[-1]) for run in ("first", "second")
    ]
    assert scores[0]["validation"]["loss"] == pytest.approx(scores[1]["validation"]["loss"], rel=1e-5)


def test_entries_that_are_exchanged_go_on_exactly_from_every_step(data: Path, tmp_path: Path) -> None:
    more = ("method.every=2", "method.accumulate=1", "training.steps=4", "method.k=300", "evaluation.every=2")
    recipe = recipe_of(data, "method.kind=spiel", *more, "training.accumulate=2", "method.pull=0.5")
    tune_alone(tmp_path / "run", recipe)
    assert tune_with_stops(tmp_path / "stopped", recipe) == 4
    assert not different(tmp_path / "run", tmp_path / "stopped")
    assert changed_entries(tmp_path / "run" / "skills" / "names") == 300
    tune_alone(tmp_path / "random", recipe_of(data, "method.kind=random", "method.per=tensor", *more[2:]))
    deltas = [sparse_delta(load_skill(tmp_path / run / "skills" / "names")).changes for run in ("run", "random")]
    sizes = [{name: change.n_entries for name, change in delta.items()} for delta in deltas]
    assert sizes[0] == sizes[1]
    entries = [{(name, i) for name, x in delta.items() for i in x.support.tolist()} for delta in deltas]
    assert len(entries[0] & entries[1]) < 150  # it began with these
    with pytest.raises(InputError, match="make `accumulate` no more than `every`"):
        recipe_of(data, "method.kind=spiel", "method.every=3")


def test_connection_sensitivity_selects_by_weight_times_gradient(data: Path) -> None:
    recipe = recipe_of(data, "method.kind=connection_sensitivity", "method.batches=2", "method.k=40")
    suite, backbone, options = load_suite(recipe.tasks), load_backbone(recipe.backbone), recipe.method.options
    start = start_of(recipe, suite, backbone, TrainingData(recipe, suite, backbone, Alone()), Alone())
    assert isinstance(options, SensitivityOptions)
    names = [name for name, _ in backbone.network.named_parameters() if "LayerNorm" not in name]
    parameters = [start.network.get_parameter(name).requires_grad_() for name in names]
    losses = [mean_loss(start.model.eval(), TrainingData(recipe, suite, backbone, Alone()), n) for n in (0, 1)]
    gradients = torch.autograd.grad(torch.stack(losses).mean(), parameters)
    backbone.freeze()
    for score, weights in (("sensitivity", parameters), ("gradient", [torch.ones(())] * len(names))):
        slow = {name: (p * g).detach() for name, p, g in zip(names, weights, gradients, strict=True)}
        expected = largest_plainly(Distances(slow), 40)
        chosen = most_sensitive(start, [Budget(names=tuple(names), k=40)], options.model_copy(update={"score": score}))
        assert {name: x.tolist() for name, x in chosen.items()} == {name: x.tolist() for name, x in expected.items()}
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in parameters)
    with pytest.raises(InputError, match=r"depends on \d+ of those that are eligible: select \d+ at most"):
        most_sensitive(start, [Budget(names=("embeddings.word_embeddings.weight",), k=9000)], options)


def mean_loss(model: Modular, data: TrainingData, number: int) -> Tensor:
    """Loss of one of the first batches."""
    for _ in range(number):
        data.draw()
    model.inventory.slot.opened = True
    loss: Tensor = model(data.draw())
    model.inventory.slot.opened = False
    return loss


def test_skills_beneath_one_task_are_in_force_for_its_batches_alone(data: Path, tmp_path: Path) -> None:
    tune_alone(tmp_path / "language", recipe_of(data, "method.kind=random", "method.k=4000", "name=language"))
    language = tmp_path / "language" / "skills" / "language"
    more = ("method.k=80", "training.keep=last")
    for name, beneath in (("base", f"base=[{language}]"), ("source", f"sources={{names: [{language}]}}"), ("none", "")):
        tune_alone(tmp_path / name, recipe_of(data, *more, *([beneath] if beneath else [])))
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("base", "source", "none")]
    losses = [[json.loads(line)["loss"] for line in of] for of in lines]
    dev = [[json.loads(line)["validation"]["loss"] for line in of] for of in lines]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and losses[0] != pytest.approx(losses[2], rel=1e-3)
    assert dev[0] == pytest.approx(dev[1], rel=1e-4)
    skill = load_skill(tmp_path / "source" / "skills" / "names")
    assert [source.name for source in skill.card.sources["names"]] == ["language"] and skill.card.base == ()
    assert changed_entries(tmp_path / "source" / "skills" / "names") == 80

    plain, backbone = recipe_of(data), load_backbone("tiny-encoder")
    tests = encoded_tests(plain, load_suite(plain.tasks), backbone)
    weight = backbone.network.get_parameter(max(sparse_delta(load_skill(language)).changes))

    def seen(rows: Encoded) -> list[float]:
        return [weight.sum().item()] * len(rows.rows)

    alone = Sources(backbone, {}).predict(tests, seen)
    beneath_each = Sources(backbone, {"names": (str(language),)}).predict(tests, seen)
    assert len(alone) == len(beneath_each) == 4 and alone[0] != beneath_each[0] and seen(tests) == alone

    def by(folder: Path) -> str:
        recipe = recipe_of(data, *more, f"sources={{names: [{folder}]}}")
        return recipe_fingerprint(recipe, load_suite(recipe.tasks))

    moved = shutil.copytree(language, tmp_path / "moved")  # where a skill lies decides nothing, what it is does
    assert by(language) == by(moved) == skill.card.recipe != by(tmp_path / "none" / "skills" / "names")


def test_a_frozen_decoder_gives_the_embeddings_of_tokens_that_are_not_read_no_gradient(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "aaa.txt").write_text("abc\n" * 20)
    changed = {}
    for frozen in ("true", "false"):
        options = ("training.steps=1", "training.batch=1", "text.max_input=16", "method.kind=full", "method.pull=0")
        suite = ("suite=text", f"tasks.path={tmp_path / 'text'}", "tasks.train_splits=[train]", "training.lr=1e-2")
        recipe = load_config(TuningRecipe, overrides=[*suite, *options, f"freeze_decoder={frozen}"])
        tune_alone(tmp_path / frozen, recipe)
        delta = sparse_delta(load_skill(tmp_path / frozen / "skills" / "aaa"))
        embeddings = delta.changes["embeddings.word_embeddings.weight"]
        changed[frozen] = len({index // embeddings.shape[1] for index in embeddings.support.tolist()})
    assert changed["true"] <= 16 < 200 < changed["false"]


class Disagreeing(Alone):
    """A member of a group of which another one has something else."""

    def gather(self, value: Any) -> list[Any]:
        """The value and another one."""
        return [value, "other"]


def test_workers_that_select_different_entries_do_not_go_on() -> None:
    entries = {"weight": torch.tensor([1, 5])}
    check_agreement(entries, Alone())
    with pytest.raises(RunError, match="selected different entries"):
        check_agreement(entries, Disagreeing())
