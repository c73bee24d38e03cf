"""An encoder that is trained with its skills chooses among answers as the pretrained one embeds them, always."""

import json
from pathlib import Path

import pytest
import torch
from training_cases import COLOURS, train_alone, write_colours

from polyray.backbones import load_backbone
from polyray.config import load_config
from polyray.objectives.choices import embed
from polyray.skills.inventory import load_inventory
from polyray.skills.lifting import lift
from polyray.training.fewshot import adapt_one
from polyray.training.model import load_model
from polyray.training.pieces import AdaptationRecipe, Piece
from polyray.training.prediction import Predictor
from polyray.training.recipe import TrainingRecipe
from polyray.training.scoring import ScoringRecipe, Share, score_share

TRAINING = (
    "backbone=tiny-encoder", "training.steps=12", "training.batch=6", "training.backbone_lr=1e-2", "training.lr=1e-2",
    "training.report_every=12", "training.save_every=12", "routing.n_skills=2", "modules.rank=2", "text.max_input=32",
)  # fmt: skip


def test_training_scoring_adapting_and_predicting_embed_answers_alike(tmp_path: Path) -> None:
    suite, out = write_colours(tmp_path / "data"), tmp_path / "run"
    out.mkdir()
    trained = train_alone(out, load_config(TrainingRecipe, overrides=[*TRAINING, *suite]))
    skills = out / "skills"
    pretrained, model = load_backbone("tiny-encoder"), load_model(load_inventory(skills))
    assert model.backbone_state() == {} and not all(map(torch.equal, model.network.parameters(), _copy()))
    for backbone in (pretrained, model.backbone):
        embed(backbone, COLOURS)
    assert all(torch.equal(model.backbone.anchors[text], pretrained.anchors[text]) for text in COLOURS)

    recipe = load_config(ScoringRecipe, overrides=[*suite, f"skills={skills}", "text.max_input=32"])
    scored = score_share(Share(recipe=recipe, out=tmp_path, tasks=("known",)))["scores"]
    assert scored == trained["tasks"]
    lines = [json.loads(line) for line in (tmp_path / "predictions" / "known.jsonl").read_text().splitlines()]
    lift(load_inventory(skills), "known", out / "lifted")
    for folder in (skills, out / "lifted"):
        predictor = Predictor.load(folder, "known")
        assert predictor([line["input"].removeprefix("[known] ") for line in lines]) == [x["prediction"] for x in lines]
        assert torch.equal(predictor.model.backbone.anchors["red"], pretrained.anchors["red"])

    few = ("adapt.steps=2", "adapt.looks=1", "adapt.batch=3", f"skills={skills}", "text.max_input=32")
    piece = Piece(
        recipe=load_config(AdaptationRecipe, overrides=[*suite, *few]), out=out, task="new", seed=0, method="skills"
    )
    answers = adapt_one(piece)["score"]
    sky = Predictor.load(piece.skill_folder, "new")
    right = [sky([f"sky test {n}"])[0] == COLOURS[n % 3] for n in range(6)]
    assert sum(right) / 6 == pytest.approx(answers)
    assert torch.equal(sky.model.backbone.anchors["red"], pretrained.anchors["red"])


def _copy() -> list[torch.Tensor]:
    return list(load_backbone("tiny-encoder").network.parameters())
