"""MAD-X: a language adapter, a task's adapter above it, and another language's in its place."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from tuning_cases import recipe_of, tune_alone, write_names

from polyray.backbones import load_backbone
from polyray.config import load_config
from polyray.errors import InputError
from polyray.modules.site import Site, mixing
from polyray.objectives import OBJECTIVES, TextOptions
from polyray.objectives.losses import IGNORED
from polyray.reuse import Shelf, reusing
from polyray.skills.skill import load_card, load_skill
from polyray.tasks import RawText
from polyray.training.beneath import NONE
from polyray.training.single import load_single
from polyray.training.tuning.recipe import TuningRecipe

TEXT = ("suite=text", "training.steps=3", "training.batch=2", "training.lr=1e-1", "method.kind=mad_x")


@pytest.fixture(autouse=True)
def _shelf() -> Iterator[None]:
    """Load the backbone once."""
    with reusing(Shelf()):
        yield


def language(folder: Path, name: str, words: str) -> Path:
    """The folder of a language adapter that was trained for three steps on a line of text."""
    (folder / name).mkdir()
    for split in ("train", "dev", "test"):
        (folder / name / f"{split}.txt").write_text(f"{words}\n{words[::-1]}\n")
    overrides = [*TEXT, f"tasks.path={folder}", f"tasks.include=[{name}]", "tasks.train_splits=[train]"]
    tune_alone(folder / f"run-{name}", load_config(TuningRecipe, overrides=overrides))
    return folder / f"run-{name}" / "skills" / name


def hidden(skill: Path, base: list[str], ids: Tensor) -> Tensor:
    """Hidden states of a text under a skill above others."""
    model = load_single(skill, load_skill(skill), ["names"], base=base)
    with torch.no_grad(), mixing(model.inventory, torch.ones(1, 1)):
        states: Tensor = model.backbone.model(input_ids=ids).last_hidden_state
    return states


def test_a_task_is_trained_above_a_language_which_is_swapped(tmp_path: Path) -> None:
    first, second = language(tmp_path, "swa", "habari ya leo"), language(tmp_path, "hau", "ina kwana sannu")
    write_names(tmp_path / "data")
    recipe = recipe_of(tmp_path / "data", "method.kind=bottleneck", f"base=[{first}]", "method.rank=4")
    tune_alone(tmp_path / "task", recipe)
    task = tmp_path / "task" / "skills" / "names"
    card, ids = load_card(task), torch.tensor([load_backbone("tiny-encoder").text.encode("Ada sees Rome")])
    assert (card.kind, card.base[0].name) == ("bottleneck", "swa") and len(load_card(first).sites) == 3
    as_trained, swapped, alone = (hidden(task, base, ids) for base in ([], [str(second)], [NONE]))
    assert torch.equal(as_trained, hidden(task, [str(first)], ids))
    assert not torch.allclose(as_trained, swapped) and not torch.allclose(as_trained, alone)
    model = load_single(task, load_skill(task), ["names"], base=[str(first)])
    occupants = [len(site.occupants) for site in model.network.modules() if isinstance(site, Site)]
    assert sorted(occupants) == [1, 2, 2]  # the invertible adapter, and two layers with both adapters
    with pytest.raises(InputError, match="above modules a skill is trained by lora, bottleneck or mad_x"):
        tune_alone(tmp_path / "full", recipe_of(tmp_path / "data", "method.kind=full", f"base=[{first}]"))
    check_inverse(first)


def check_inverse(language: Path) -> None:
    """Tokens are predicted from states that the inverse of the adapter at the embeddings, by its definition, made."""
    skill = load_skill(language)
    model = load_single(language, skill, ["swa"])
    objective, backbone = OBJECTIVES["masked_lm"], model.backbone
    rows = objective.encode(backbone, {}, [RawText(task="swa", text="habari ya leo")], TextOptions())
    batch = objective.collate(backbone, rows)

    def adapter(half: str, x: Tensor) -> Tensor:
        """Features of the first or second half of an embedding."""
        names = [f"embeddings.LayerNorm/adapter.{half}.{name}" for name in ("down", "down_bias", "up", "up_bias")]
        down, down_bias, up, up_bias = (skill.tensors[name][0] for name in names)
        return torch.relu(x @ down + down_bias) @ up + up_bias

    def undone(states: Tensor) -> Tensor:
        a, b = states.chunk(2, -1)
        b = b - adapter("second", a)
        return torch.cat([a - adapter("first", b), b], -1)

    with torch.no_grad(), mixing(model.inventory, torch.ones(1, 1)):
        states = backbone.model(input_ids=batch.tokens, attention_mask=batch.mask).last_hidden_state
        hidden = batch.labels != IGNORED
        head = model.heads["masked_lm"]
        losses = [
            functional.cross_entropy(head(states[hidden], backbone.decoder, inverse), batch.labels[hidden])
            for inverse in (undone, None)
        ]
        loss = objective.loss(model, batch)[0]
    assert torch.allclose(loss, losses[0], rtol=1e-5) and not torch.allclose(loss, losses[1], rtol=1e-3)
