"""Adaptations that are trained together equal the same adaptations alone, up to rounding."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from gathering import for_cases, for_each
from torch import Tensor
from training_cases import KNOWN, SUITE, answer_task, rows_of, spec, tiny_model

from polyray.errors import InputError
from polyray.modules.kinds import MODULES
from polyray.objectives import OBJECTIVES, EvaluationOptions
from polyray.routing import ROUTERS
from polyray.skills.spec import InventorySpec
from polyray.tasks import TextAnswers
from polyray.training.adaptation import Adapted, FewShotData, adapt
from polyray.training.blocks.adaptation import Adaptation, adapt_together
from polyray.training.blocks.model import BlockModel, block_predictions
from polyray.training.evaluation import predictions
from polyray.training.methods import METHODS, AdaptationOptions, Method, stacks
from polyray.training.model import Modular
from polyray.training.starting import start

LETTERS = "abcdefgh"
OPTIONS = (  # of four adaptations: what may differ does
    {"lr": 1e-2, "routing_lr": 0.5, "clip": 0.01, "seed": 1, "warmup": 0.5},
    {"lr": 1e-3, "routing_lr": 0.1, "clip": 10.0, "seed": 2},
    {"lr": 1e-3, "routing_lr": 0.5, "clip": 10.0, "seed": 2},
    {"lr": 2e-2, "routing_lr": 0.1, "clip": 1.0, "seed": 3},
)


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """In single precision Adam makes of a gradient that is nothing but rounding a whole step."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def model(backbone: str, inventory: InventorySpec | None = None) -> Modular:
    return tiny_model(backbone, [SUITE.tasks[name] for name in KNOWN], inventory).double()


def few_shots(trained: Modular, number: int) -> FewShotData:
    """A task of its own for every two numbers: its texts and answers are longer, and it has more of them."""
    task = answer_task(("shape", "taste")[number // 2])
    words = [LETTERS[i] * (1 + 2 * (number // 2) + i % 2) for i in range(5 + number)]
    examples = [
        TextAnswers(task=task.name, input=" ".join(words[: i + 1]), outputs=(words[i],), choices=tuple(words))
        for i in range(len(words))
    ]
    suite = SUITE.__class__(name="new", tasks={task.name: task}, partition={})
    train, dev = (rows_of(trained, suite, some) for some in (examples, examples[:4]))
    return FewShotData(task=task, train=train, dev=dev)


def adaptations(trained: Modular, n: int = len(OPTIONS), **shared: Any) -> list[Adaptation]:
    common = {"steps": 5, "batch": 4, "looks": 2, **shared}
    return [
        Adaptation(data=few_shots(trained, number), options=AdaptationOptions(**{**common, **options}))
        for number, options in enumerate(OPTIONS[:n])
    ]


def tensors(adapted: Adapted) -> Mapping[str, Tensor]:
    network = adapted.model.network.state_dict()
    return {name: x for name, x in adapted.model.state_dict().items() if name.removeprefix("network.") not in network}


def alone(trained: Modular, method: Method, each: Adaptation, decoding: EvaluationOptions) -> Adapted:
    return adapt(trained, method, each.data, each.options, decoding, each.relatives)


def check_equal(trained: Modular, method: Method, decoding: EvaluationOptions, **shared: Any) -> None:
    """Each of several adaptations that are trained together ends as it does alone."""
    trainings = adaptations(trained, **shared)
    expected = [alone(trained, method, each, decoding) for each in trainings]
    results = adapt_together(trained, method, trainings, decoding)
    for result, single in zip(results, expected, strict=True):
        assert result is not None
        assert (result.dev, result.step, result.rate, result.routing_rate) == (
            single.dev, single.step, single.rate, single.routing_rate,
        )  # fmt: skip
        assert result.model.router.tasks.names == single.model.router.tasks.names
        pairs = tensors(single)
        assert tensors(result).keys() == pairs.keys()
        for name, tensor in tensors(result).items():
            torch.testing.assert_close(tensor, pairs[name], rtol=1e-6, atol=1e-10)


@for_cases([
    {"method": "skills", "backbone": "tiny-seq2seq", "steps": 3, "looks": 1},
    *({"method": method, "backbone": "tiny-encoder", "steps": 4, "looks": 2} for method in ("row", "average", "fresh")),
])  # fmt: skip
def test_adaptations_trained_together_end_as_they_do_alone(
    method: Method, backbone: str, steps: int, looks: int
) -> None:
    check_equal(model(backbone), method, EvaluationOptions(batch=5), n=3, steps=steps, looks=looks)


def test_skills_that_are_split_are_trained_together_as_alone() -> None:
    check_equal(model("tiny-encoder", spec(n_splits=2)), "skills", EvaluationOptions(batch=5), n=2, steps=2, looks=1)


def test_a_training_whose_loss_has_no_bounds_disturbs_no_other() -> None:
    trained = model("tiny-encoder")
    steady, wild = adaptations(trained, n=2, steps=3, looks=1)
    wild = replace(wild, options=wild.options.model_copy(update={"lr": 1e200}))
    result, nothing = adapt_together(trained, "average", [steady, wild], EvaluationOptions())
    assert nothing is None and result is not None
    expected = tensors(adapt(trained, "average", steady.data, steady.options, EvaluationOptions()))
    for name, tensor in tensors(result).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-6, atol=1e-10)
    with pytest.raises(InputError, match="by average: the loss is no finite number under any learning rate. Lower"):
        adapt(trained, "average", wild.data, wild.options, EvaluationOptions())


def test_the_backbone_stays_as_it_is_where_it_was_trained_before() -> None:
    trained = model("tiny-encoder")
    trained.backbone.network.requires_grad_(True)
    before = {name: x.clone() for name, x in trained.backbone.network.state_dict().items()}
    (each,) = adaptations(trained, n=1, steps=2, looks=1)
    (result,) = adapt_together(trained, "skills", [each], EvaluationOptions())
    assert result is not None
    assert all(torch.equal(x, before[name]) for name, x in result.model.backbone.network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in result.model.backbone.network.parameters())


@for_each(beams=(1, 2))
def test_a_look_at_several_development_sets_writes_to_each_what_a_look_at_it_alone_does(beams: int) -> None:
    trained = model("tiny-seq2seq")
    sets = [few_shots(trained, number) for number in range(3)]
    generator = torch.Generator().manual_seed(0)
    singles = [start(trained, "fresh", few.task, (), generator).eval() for few in sets]
    decoding = EvaluationOptions(beams=beams, batch=5)
    limits = [few.longest_answer for few in sets]
    assert len(set(limits)) > 1
    together = block_predictions(BlockModel(singles), {0: sets[0].dev, 2: sets[2].dev}, decoding, limits)
    for block, predicted in together.items():
        singles[block].inventory.install(trained.network)
        assert predicted == predictions(singles[block], sets[block].dev, decoding, limits[block])


CASES: list[dict[str, Any]] = [
    *({"method": "skills", "kind": kind} for kind, entry in MODULES.items() if entry.joins),
    *({"method": "skills", "routing": name} for name, router in ROUTERS.items() if router.has_rows),
    *({"method": "average", "routing": name} for name, router in ROUTERS.items() if not router.has_rows),
    *({"method": method, "backbone": "tiny-seq2seq"} for method in METHODS if method != "full"),
    {"method": "skills", "backbone": "tiny-causal"},
    {"method": "skills", "options": {"sample": "task"}},
    {"method": "row", "options": {"sample": "none", "granularity": "model"}},
    {"method": "skills", "options": {"ibp": 0.1}},
    {"method": "fresh", "modules": {"n_splits": 2}},
]
USUAL: dict[str, Any] = {
    "backbone": "tiny-encoder", "routing": "polytropon", "kind": "lora", "options": {}, "modules": {}
}  # fmt: skip


@pytest.mark.slow
@for_cases([{**USUAL, **case} for case in CASES])
def test_whatever_can_be_trained_together_ends_as_it_does_alone(
    method: Method, backbone: str, routing: str, kind: str, options: Mapping[str, Any], modules: Mapping[str, Any]
) -> None:
    inventory = spec(routing, options, kind, sites=("prefix",) if kind == "prefix" else ("ffn",), **modules)
    assert stacks(method, ROUTERS[routing], MODULES[kind], OBJECTIVES["answers"])
    check_equal(model(backbone, inventory), method, EvaluationOptions(batch=7))


def test_what_cannot_be_trained_together_says_so() -> None:
    together = ROUTERS["polytropon"], MODULES["lora"], OBJECTIVES["answers"]
    assert stacks("skills", *together) and not stacks("full", *together)
    for router in ("hyperformer", "token_moe"):
        assert not stacks("skills", ROUTERS[router], *together[1:])
    assert not stacks("skills", together[0], MODULES["bottleneck"], together[2])
    for objective in ("tagging", "masked_lm"):
        assert not stacks("skills", *together[:2], OBJECTIVES[objective])
    assert {name for name, objective in OBJECTIVES.items() if objective.stacks} == {"answers", "choices"}
    trained = model("tiny-encoder", spec(kind="bottleneck"))
    with pytest.raises(InputError, match="bottleneck modules of several inventories cannot act in one batch"):
        BlockModel([trained, trained])
