"""LoRA adapters of PEFT become skills, and a mix of skills becomes an adapter for PEFT, with the same logits.

Needs PEFT: pip install "polyray[peft]".
"""

import tempfile
from pathlib import Path

import peft
import torch
from torch import Tensor, nn

from polyray import (
    BackboneCard,
    Card,
    LoraOptions,
    Skill,
    attach,
    export_peft,
    import_peft,
    load_backbone,
    mixing,
)

IDS = torch.randint(3, 250, (4, 12), generator=torch.Generator().manual_seed(0))
ADAPTERS = {"french": 1, "formal": 2}  # names and seeds


def logits(model: nn.Module) -> Tensor:
    """The model's logits on a fixed batch of tokens [4, 12]."""
    with torch.no_grad():
        output: Tensor = model(input_ids=IDS).logits
    return output


def train_with_peft(folder: Path, seed: int) -> Tensor:
    """Train an adapter with PEFT for some steps, save it to `folder`, and return its logits."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = peft.get_peft_model(load_backbone("tiny-causal").model, config)
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(5):
        model(input_ids=IDS, labels=IDS).loss.backward()
        adam.step()
        adam.zero_grad()
    model.save_pretrained(str(folder))
    return logits(model.eval())


def compare(name: str, ours: Tensor, theirs: Tensor) -> None:
    """Print how far apart Polyray's and PEFT's logits are, and how far the skill moves them from the backbone's."""
    effect = (ours - logits(load_backbone("tiny-causal").model)).abs().max()
    print(f"{name:7} moves logits by {effect:.2f}; difference to PEFT {(ours - theirs).abs().max():.1e}")


def main() -> None:
    """Import two adapters, compare, mix them half and half, export the mix, compare again."""
    backbone = load_backbone("tiny-causal")
    card = BackboneCard(name=backbone.name, kind=backbone.kind, fingerprint=backbone.fingerprint)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = {adapter: train_with_peft(folder / adapter, seed) for adapter, seed in ADAPTERS.items()}
        skills = [import_peft(folder / adapter, name=adapter, backbone=card) for adapter in ADAPTERS]

        options = LoraOptions.model_validate(skills[0].card.options)
        inventory = attach(backbone.network, skills[0].card.sites, "lora", 2, options, torch.Generator())
        for index, skill in enumerate(skills):
            inventory.load_skill(index, skill.tensors)
            with mixing(inventory, torch.eye(2)[[index] * len(IDS)]):
                compare(skill.card.name, logits(backbone.network), expected[skill.card.name])

        half = torch.full((1, 1, 2), 0.5)  # [sites or 1, heads, skills]
        with mixing(inventory, half[0].expand(len(IDS), -1)):
            mixed = logits(backbone.network)
        blend = Skill(
            card=Card(name="half", kind="lora", backbone=card, sites=inventory.sites, options=skills[0].card.options),
            tensors=inventory.blend(half),
        )
        export_peft(blend, folder / "half", task_type="CAUSAL_LM")
        loaded = peft.PeftModel.from_pretrained(load_backbone("tiny-causal").model, folder / "half")
        compare("half", mixed, logits(loaded.eval()))


if __name__ == "__main__":
    main()
