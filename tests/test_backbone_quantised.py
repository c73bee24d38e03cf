"""Backbones quantised to 8 and 4 bits by bitsandbytes: skills train on them, and are read by another process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from backbone_cases import save_folder
from gathering import for_cases
from test_backbone_dtypes import loss_and_gradient
from torch import Tensor
from training_cases import KNOWN, SUITE, answer_task, answers, rows_of, spec, suite_of, train_alone, write_colours
from transformers.integrations.bitsandbytes import dequantize_bnb_weight
from transformers.pytorch_utils import Conv1D

from polyray.backbones import load_backbone
from polyray.backbones.precision import LIBRARIES, DtypeChoice
from polyray.config import load_config
from polyray.errors import InputError
from polyray.modules.kinds import MODULES
from polyray.modules.layers import is_quantised
from polyray.modules.site import mixing, without_skills
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.skills.delta import fold
from polyray.skills.inventory import load_inventory
from polyray.skills.skill import load_skill
from polyray.training.evaluation import predictions
from polyray.training.fewshot import adapt_one
from polyray.training.model import Modular, build, load_model
from polyray.training.pieces import AdaptationRecipe, Piece
from polyray.training.recipe import TrainingRecipe

for library in LIBRARIES:
    pytest.importorskip(library, reason="quantised backbones need bitsandbytes: pip install polyray[quant]")

SITES = {"lora": "attention", "bottleneck": "pfeiffer", "ia3": "ia3", "prefix": "prefix"}
TRAINING = (
    "training.steps=2", "training.batch=2", "training.report_every=1", "routing.n_skills=2", "modules.rank=2",
    "modules.sites=[all]", "evaluation.max_examples=2", "text.max_input=16", "text.max_output=4",
    "text.too_long=truncate",
)  # fmt: skip
SHORT = TextOptions(max_input=12, max_output=8, too_long="truncate")
CASES = [{"dtype": dtype, "family": family} for dtype in ("int8", "nf4") for family in ("llama", "t5", "gpt2", "bert")]


def _with_skills(folder: Path, family: str, dtype: DtypeChoice, kind: str, routing: str = "polytropon") -> Modular:
    """The family's tiny network, quantised and frozen, with fresh skills."""
    if not folder.exists():
        save_folder(family, folder)
    backbone = load_backbone(str(folder), dtype=dtype)
    inventory = spec(routing, kind=kind, sites=(SITES.get(kind, "attention"),))
    model = build(backbone, inventory, [SUITE.tasks[name] for name in KNOWN], torch.Generator().manual_seed(0))
    backbone.freeze()
    return model.eval()


def _losses(model: Modular, task: str = KNOWN[0], skills: bool = True) -> Tensor:
    data = rows_of(model, suite_of(answer_task(task)), answers(task, 4), SHORT)
    batch = data.objective.collate(model.backbone, data.rows)
    with (
        torch.no_grad(),
        mixing(model.inventory, model.router(batch.tasks)) if skills else without_skills(model.inventory),
    ):
        return data.objective.loss(model, batch)


@for_cases(CASES)
def test_fresh_skills_are_the_quantised_backbone_which_takes_few_bytes(
    dtype: DtypeChoice, family: str, tmp_path: Path
) -> None:
    model = _with_skills(tmp_path / family, family, dtype, "lora")
    layers = [model.network.get_submodule(f"{site}.layer") for site in model.inventory.sites]
    assert layers and all(map(is_quantised, layers))
    assert torch.equal(_losses(model), _losses(model, skills=False))
    exact = load_backbone(str(tmp_path / family))
    assert (model.backbone.fingerprint, model.backbone.dtype) == (exact.fingerprint, dtype)
    weights = [exact.network.get_submodule(site).get_parameter("weight") for site in model.inventory.sites]
    n_bytes = sum(layer.get_parameter("weight").nbytes for layer in layers)
    share = n_bytes / sum(weight.nbytes for weight in weights)
    assert share == {"int8": 1 / 4, "nf4": 1 / 8}[dtype]


@for_cases([{**case, "kind": kind} for case in CASES for kind, entry in MODULES.items() if not entry.reads_weights])
def test_skills_have_the_gradient_of_a_backbone_with_the_rounded_weights(
    dtype: DtypeChoice, family: str, kind: str, tmp_path: Path
) -> None:
    if family == "bert" or (family == "gpt2" and kind in ("ia3", "prefix")):
        return  # answers of unknown words are all alike; queries, keys and values share a layer
    model, expected = (_with_skills(tmp_path / family, family, chosen, kind) for chosen in (dtype, "bf16"))
    with torch.no_grad():
        for name, layer in model.network.named_modules():
            if is_quantised(layer):
                weight = expected.network.get_submodule(name).get_parameter("weight")
                exact = dequantize_bnb_weight(layer.weight, vars(layer).get("state"))
                weight.copy_(exact.T if isinstance(expected.network.get_submodule(name), Conv1D) else exact)
                layer.train()  # in which bitsandbytes computes otherwise; not the whole network, for it has dropout
        for of in (model, expected):
            for seed, parameter in enumerate(of.inventory.parameters()):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    losses, gradient = loss_and_gradient(model, SHORT)
    expected_losses, expected_gradient = loss_and_gradient(expected, SHORT)
    torch.testing.assert_close(losses, expected_losses, rtol=0.01, atol=0.0)
    assert gradient.dtype == torch.float32
    assert torch.cosine_similarity(gradient, expected_gradient, 0) > 0.99


@for_cases(CASES[:2] + CASES[4:6])
def test_gradients_pass_a_quantised_layer_after_an_evaluation_as_before(
    dtype: DtypeChoice, family: str, tmp_path: Path
) -> None:
    model = _with_skills(tmp_path / family, family, dtype, "lora")
    _, before = loss_and_gradient(model, SHORT)
    predictions(model, rows_of(model, SUITE, answers(KNOWN[0], 2), SHORT), EvaluationOptions(), 2)
    _, after = loss_and_gradient(model, SHORT)
    assert torch.equal(before, after) and before.abs().max() > 0


@pytest.mark.parametrize(("dtype", "family"), [("int8", "t5"), ("nf4", "llama")])
def test_skills_trained_on_a_quantised_backbone_predict_alike_in_another_process(
    dtype: DtypeChoice, family: str, tmp_path: Path
) -> None:
    save_folder(family, tmp_path / "backbone")
    out, suite = tmp_path / "run", write_colours(tmp_path / "data")
    out.mkdir()
    overrides = [*TRAINING, *suite, f"backbone={tmp_path / 'backbone'}", f"backbone_dtype={dtype}"]
    train_alone(out, load_config(TrainingRecipe, overrides=overrides))
    skills = out / "skills"
    inventory = load_inventory(skills)
    assert inventory.card.backbone.dtype == dtype
    here = _losses(load_model(inventory), "known")
    done = subprocess.run([sys.executable, __file__, str(skills)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == here.tolist()
    assert torch.isfinite(_losses(load_model(inventory, "fp32"), "known")).all()

    few = ("adapt.steps=2", "adapt.looks=2", "adapt.batch=2", *TRAINING[6:], f"skills={skills}")
    recipe = load_config(AdaptationRecipe, overrides=[*suite, *few])
    piece = Piece(recipe=recipe, out=tmp_path / "adapted", task="new", seed=0, method="skills")
    adapt_one(piece)
    skill = load_skill(piece.skill_folder)
    assert skill.card.backbone.dtype == dtype
    with pytest.raises(InputError, match="is quantised: load the backbone in fp32 or bf16 to fold a skill into it"):
        fold(skill, load_backbone(str(tmp_path / "backbone"), dtype=dtype).network)


def test_modules_that_need_whole_weights_are_refused(tmp_path: Path) -> None:
    for kind in ("sparse", "dense"):
        with pytest.raises(InputError, match=f"modules.kind={kind} adds to the weights of its layers"):
            _with_skills(tmp_path / "llama", "llama", "nf4", kind)


if __name__ == "__main__":  # the other process
    print(json.dumps(_losses(load_model(load_inventory(Path(sys.argv[1]))), "known").tolist()))
