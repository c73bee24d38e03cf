"""Merged models and skills are tried on held-out examples, such as a sweep needs."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from backbone_cases import tiny_model, tiny_tokenizer
from skill_cases import save_sparse

from polyray.backbones import load_backbone
from polyray.config import load_config
from polyray.errors import InputError
from polyray.jobs.merge import Config, check, run
from polyray.merging.folder import MODEL, MODELS
from polyray.runs.run import Run
from polyray.tasks import load_suite
from polyray.training.held_out import HeldOutOptions, held_out_losses


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of one architecture with a tokenizer, a skill, and a task of words."""
    folder = tmp_path_factory.mktemp("shelf")
    for seed, name in enumerate(("base", "other")):
        model = tiny_model("llama")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
        model.save_pretrained(folder / name)
        tiny_tokenizer("llama").save_pretrained(folder / name)
    (folder / "data" / "words").mkdir(parents=True)
    for number, split in enumerate(("train", "dev", "test")):
        lines = [json.dumps({"input": f"w{n} w{number}", "output": f"w{n + 1}"}) for n in range(3, 8)]
        (folder / "data" / "words" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    save_sparse(folder / "skill", load_backbone(str(folder / "base")), seed=0)
    return folder


def config(shelf: Path, *more: str, model: str = "other") -> Config:
    tried = ["held_out.split=dev", "held_out.suite=jsonl", f"held_out.tasks.path={shelf / 'data'}"]
    parts = json.dumps([{"model": str(shelf / model), "weight": 0.5}])
    overrides = [f"base={shelf / 'base'}", f"parts={parts}", *tried, "held_out.text.max_output=4", *more]
    return load_config(Config, None, overrides)


def test_the_loss_of_the_merged_model_is_among_the_metrics(shelf: Path, tmp_path: Path) -> None:
    metrics = run(config(shelf, "factors=[0, 2]"), Run(tmp_path / "several")).metrics["factors"]
    options = config(shelf).held_out
    suite = load_suite(options.tasks)
    expected = {name: held_out_losses(options, suite, str(shelf / name)) for name in ("base", "other")}
    assert metrics["0"] == expected["base"]
    assert abs(metrics["2"]["loss"] - expected["other"]["loss"]) < 1e-5  # factor 2 times weight 0.5: the other model
    assert metrics["0"]["losses"] == {"words": metrics["0"]["loss"]} and metrics["0"]["loss"] != metrics["2"]["loss"]
    assert (tmp_path / "several" / MODELS / "2").is_dir()

    one = run(config(shelf, "keep=false", "held_out.max_examples=2"), Run(tmp_path / "one"))
    assert one.metrics["loss"] > 0 and not (tmp_path / "one" / MODEL).exists()


def test_the_loss_of_several_tasks_is_their_mean(shelf: Path, tmp_path: Path) -> None:
    for name in ("words", "more"):
        shutil.copytree(shelf / "data" / "words", tmp_path / name)
    rows = (tmp_path / "more" / "dev.jsonl").read_text().splitlines()
    (tmp_path / "more" / "dev.jsonl").write_text(rows[-1] + "\n")
    options = config(shelf, f"held_out.tasks.path={tmp_path}").held_out
    both = held_out_losses(options, load_suite(options.tasks), str(shelf / "base"))
    assert set(both["losses"]) == {"words", "more"} and both["losses"]["words"] != both["losses"]["more"]
    assert both["loss"] == pytest.approx(sum(both["losses"].values()) / 2)


def test_a_merged_skill_is_tried_on_its_backbone(shelf: Path, tmp_path: Path) -> None:
    as_model = run(config(shelf, model="skill"), Run(tmp_path / "model")).metrics["loss"]
    as_skill = run(config(shelf, "into=skill", model="skill"), Run(tmp_path / "skill")).metrics["loss"]
    assert abs(as_model - as_skill) < 1e-5


def test_what_cannot_be_tried_is_refused_before_anything_is_merged(shelf: Path) -> None:
    with pytest.raises(InputError, match="held_out.split"):
        check(config(shelf, "keep=false", "held_out.split=none"))
    with pytest.raises(InputError, match="no folder|holds no task|not there|nowhere"):
        check(config(shelf, "held_out.tasks.path=nowhere"))
    assert HeldOutOptions().split == "none"
