"""Every way of adapting, every kind of backbone, and evaluation, on tiny networks."""

from collections.abc import Sequence

import huggingface_hub.constants
import pytest
import torch

from polyray.backbones import Backbone, load_backbone
from polyray.backbones.backbone import anchor
from polyray.errors import InputError
from polyray.modules.options import ModuleOptions
from polyray.modules.site import mixing, without_skills
from polyray.objectives.batches import IGNORED, Lengths, collate, encode
from polyray.routing import ROUTERS, RoutingOptions
from polyray.routing.prior import IbpOptions
from polyray.tasks import Example, Task
from polyray.training.adaptation import METHODS, FewShot, FewShotData, adapt
from polyray.training.evaluation import Decoding, answers, rank, score
from polyray.training.model import Form, Modular, build, objective
from polyray.training.optimizers import OptimizerOptions

KNOWN, NEW = ("colour", "size"), "shape"
WORDS = ("red", "blue", "green")


def task(name: str) -> Task:
    return Task(name=name, category="", metric="ACC", labels=WORDS, seeds=(0,), read=lambda split, seed: ())


TASKS = {name: task(name) for name in (*KNOWN, NEW)}


def examples(name: str, n: int = 6) -> tuple[Example, ...]:
    return tuple(Example(task=name, input=f"item {place}", outputs=(WORDS[place % 3],)) for place in range(n))


def model(name: str, routing: str = "polytropon", n_splits: int = 1) -> Modular:
    backbone = load_backbone(name)
    anchor(backbone, WORDS) if backbone.kind == "encoder" else None
    form = Form(
        module="lora", modules=ModuleOptions(rank=2, n_splits=n_splits), sites=("ffn",), routing=routing,
        router=RoutingOptions(n_skills=3, allocation={"colour": (0,), "size": (1,)}),
    )  # fmt: skip
    built = build(backbone, form, KNOWN, IbpOptions(), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for number, parameter in enumerate(built.inventory.parameters()):
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    backbone.freeze()
    return built.eval()


def data(backbone: Backbone, inventory_of: Modular) -> FewShotData:
    with without_skills(inventory_of.inventory):
        rows = encode(backbone, TASKS, examples(NEW), Lengths())
    return FewShotData(task=TASKS[NEW], train=rows, dev=rows, dev_examples=examples(NEW))


def state(of: Modular) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in of.state_dict().items()}


def with_dropout(network: torch.nn.Module) -> None:
    """The tiny backbones have none of their own."""
    dropouts = [module for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert dropouts
    for module in dropouts:
        module.p = 0.3


FEW = FewShot(steps=4, batch=4, looks=2, speeds=OptimizerOptions(lr=1e-2, warmup=0.1))
KINDS = sorted(set(ROUTERS) - {"hyperformer", "token_moe"})


@pytest.mark.parametrize("name", ["tiny-seq2seq", "tiny-causal", "tiny-encoder"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_adapts_every_kind_of_backbone_and_leaves_the_inventory_as_it_was(name: str, method: str) -> None:
    trained = model(name)
    before = {key: value.clone() for key, value in trained.inventory.state_dict().items()}
    adapted = adapt(trained, method, data(trained.backbone, trained), FEW, Decoding(), torch.ones(3))  # type: ignore[arg-type]
    assert all(torch.equal(value, before[key]) for key, value in trained.inventory.state_dict().items())
    assert adapted.model.router.tasks.names == (NEW,)
    assert 0 <= adapted.dev <= 1 and 1 <= adapted.step <= FEW.steps


@pytest.mark.parametrize("routing", ROUTERS)
def test_every_router_adapts(routing: str) -> None:
    trained = model("tiny-encoder", routing)
    row = torch.ones(trained.inventory.n_skills)
    adapted = adapt(trained, "skills", data(trained.backbone, trained), FEW, Decoding(), row)
    before = trained.inventory.state_dict()
    moved = adapted.model.inventory.state_dict()
    fresh = routing == "private"
    assert adapted.model.inventory.n_skills == (1 if fresh else trained.inventory.n_skills)
    assert fresh or any(not torch.equal(value, before[key]) for key, value in moved.items())


def test_the_seed_fixes_dropout_too_and_nobody_elses_draws_change() -> None:
    found = []
    for other in (1, 2):
        trained = model("tiny-encoder")
        with_dropout(trained.network)
        torch.manual_seed(other)
        before = torch.get_rng_state()
        adapted = adapt(trained, "skills", data(trained.backbone, trained), FEW, Decoding(), torch.ones(3)).model
        found.append(state(adapted))
        assert not adapted.training, "the skill that its mix amounts to would be saved with the router's noise"
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(found[1][name], value) for name, value in found[0].items())


def test_answers_are_embedded_without_dropout_whatever_mode_the_network_is_in() -> None:
    found = []
    for training in (False, True):
        backbone = load_backbone("tiny-encoder")
        with_dropout(backbone.model)
        backbone.model.train(training)
        anchor(backbone, WORDS)
        assert backbone.model.training == training
        found.append(backbone.anchors)
    assert all(torch.equal(found[1][word], vector) for word, vector in found[0].items())


def test_row_trains_the_row_alone() -> None:
    trained = model("tiny-seq2seq")
    adapted = adapt(trained, "row", data(trained.backbone, trained), FEW, Decoding(), torch.ones(3))
    before = trained.inventory.state_dict()
    assert all(torch.equal(value, before[key]) for key, value in adapted.model.inventory.state_dict().items())
    fixed = model("tiny-seq2seq", "shared")
    few_shots = data(fixed.backbone, fixed)
    with pytest.raises(InputError, match="fixed"):
        adapt(fixed, "row", few_shots, FEW, Decoding(), torch.ones(1))


def test_average_starts_from_the_mean_of_the_skills() -> None:
    trained = model("tiny-seq2seq")
    skills = [trained.inventory.skill(number) for number in range(3)]
    few = FewShot(steps=1, batch=2, looks=1, speeds=OptimizerOptions(lr=1e-12, warmup=0.0, weight_decay=0.0))
    adapted = adapt(trained, "average", data(trained.backbone, trained), few, Decoding(), torch.ones(3))
    for name, value in adapted.model.inventory.skill(0).items():
        torch.testing.assert_close(value, torch.stack([skill[name] for skill in skills]).mean(0))


def predictions(of: Modular, names: Sequence[str], decoding: Decoding) -> list[str]:
    with without_skills(of.inventory):
        rows = encode(of.backbone, TASKS, [x for name in names for x in examples(name, 3)], Lengths())
    return answers(of, rows, decoding, max_output=8)


@pytest.mark.parametrize("name", ["tiny-seq2seq", "tiny-causal", "tiny-encoder"])
def test_tasks_predicted_in_one_batch_are_predicted_as_each_alone(name: str) -> None:
    of = model(name, n_splits=2)
    for decoding in (Decoding(), Decoding(beams=3), Decoding(method="rank"), Decoding(batch=2)):
        alone = [text for task_name in KNOWN for text in predictions(of, [task_name], decoding)]
        assert predictions(of, KNOWN, decoding) == alone


def test_ranking_takes_the_likeliest_answer() -> None:
    of = model("tiny-seq2seq")
    rows = encode(of.backbone, TASKS, examples("colour", 2), Lengths())
    for row, found in zip(rows, rank(of, rows, Decoding()), strict=True):
        losses = {}
        for word in WORDS:
            one = encode(of.backbone, TASKS, [Example(task="colour", input="item 0", outputs=(word,))], Lengths())[0]
            batch = collate(of.backbone, [type(row)(**{**vars(row), "output": one.output})])
            with mixing(of.inventory, of.router(batch.tasks)), torch.no_grad():
                losses[word] = float(objective(of.backbone, batch))
        assert found == min(losses, key=lambda word: losses[word])


def test_a_causal_batch_counts_the_answer_alone() -> None:
    backbone = load_backbone("tiny-causal")
    rows = encode(backbone, TASKS, examples("colour", 3), Lengths())
    batch = collate(backbone, rows)
    assert batch.labels is not None
    for place, row in enumerate(rows):
        counted = [int(label) for label in batch.labels[place] if label != IGNORED]
        assert backbone.text.decode(counted) == WORDS[place] and counted == list(row.output)


def test_long_texts_are_counted_before_anything_is_trained_and_cut_only_on_demand() -> None:
    backbone = load_backbone("tiny-seq2seq")
    long = [Example(task="colour", input="x" * 30, outputs=("red",)), *examples("colour", 1)]
    with pytest.raises(InputError, match=r"1 of 2 examples are longer .*text\.max_input=16.*task 'colour'"):
        encode(backbone, TASKS, long, Lengths(max_input=16))
    rows = encode(backbone, TASKS, long, Lengths(max_input=16, too_long="truncate"))
    assert len(rows[0].input) == 16 and rows[0].input[-1] == backbone.text.eos


def test_an_encoder_refuses_tasks_with_free_answers() -> None:
    free = Task(name="free", category="", metric="EM", labels=None, seeds=(0,), read=lambda split, seed: ())
    with pytest.raises(InputError, match=r"tasks\.labelled=true"):
        encode(
            load_backbone("tiny-encoder"), {"free": free}, [Example(task="free", input="a", outputs=("b",))], Lengths()
        )


def test_scores_are_kept_by_task_and_metric() -> None:
    own = [*examples("colour", 3), *examples("size", 3)]
    assert score(TASKS, own, ["red", "blue", "green", "red", "red", "red"]) == {
        "colour": {"ACC": 1.0},
        "size": {"ACC": pytest.approx(1 / 3)},
    }


def test_an_unknown_backbone_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="Did you mean 'tiny-seq2seq'"):
        load_backbone("tiny-seq2sek")
    with pytest.raises(InputError, match="No backbone can be loaded from the name 'nowhere/nothing'"):
        load_backbone("nowhere/nothing")
