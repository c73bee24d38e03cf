"""Experts at decoding with a pretrained network, its chat template and its generation config."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from grounded_cases import write_dialogues
from responding_cases import write_skills

from polyray.config import load_config
from polyray.responding.members import load_members
from polyray.responding.recipe import RespondRecipe
from polyray.responding.system import MAIN, Ensemble
from polyray.tasks import load_suite

N_TOKENS = 3


@pytest.mark.data
@torch.no_grad()
def test_an_anti_expert_on_a_pretrained_backbone_weighs_in_at_every_token(
    pretrained: Callable[[str], Path], tmp_path: Path
) -> None:
    network = str(pretrained("smollm2"))
    skills = write_skills(tmp_path / "skills", network, names=("expert",))
    recipe = load_config(
        RespondRecipe,
        overrides=[
            *write_dialogues(tmp_path / "data"), f"backbone={network}", "system.kind=dexperts",
            f"system.anti_expert={skills('expert')}", "system.anti_expert_weight=1.5", f"text.max_output={N_TOKENS}",
            "evaluation.no_repeat_ngram=0",
        ],
    )  # fmt: skip
    suite = load_suite(recipe.tasks)
    members = load_members(recipe.sources(), ["places"], share=True)
    ensemble = Ensemble(members=members, suite=suite, text=recipe.text, evaluation=recipe.evaluation)
    examples = suite.tasks["places"].examples("test")[:2]
    responses, _ = recipe.system.system().respond(ensemble, examples)
    text = members[MAIN].backbone.text
    for row, response in zip(ensemble.encode(examples).rows, responses, strict=True):
        tokens: list[int] = []
        while len(tokens) < N_TOKENS and text.eos not in tokens:
            total = torch.zeros(1)
            for name, weight in ((MAIN, 1.0), ("anti_expert", -1.5)):
                with members[name].in_force():
                    output = members[name].backbone.model(input_ids=torch.tensor([[*row.input, *tokens]]))
                total = total + weight * output.logits[0, -1].log_softmax(0)
            tokens.append(int(total.argmax()))
        assert response.text == text.decode(tokens)
