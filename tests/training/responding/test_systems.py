"""Systems that answer, each beside its definition computed another way."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from responding_cases import write_skills
from training_cases import answer_task, answers, suite_of

from polyray.config import load_config
from polyray.errors import InputError
from polyray.objectives import EvaluationOptions
from polyray.tasks import Suite
from polyray.training.evaluation import predictions
from polyray.training.responding.members import load_members
from polyray.training.responding.recipe import RespondRecipe
from polyray.training.responding.system import MAIN, Ensemble, Response

SUITE = suite_of(answer_task("colour"))
EXAMPLES = answers("colour", 3)


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return write_skills(tmp_path_factory.mktemp("skills"))


def recipe_of(*overrides: str) -> RespondRecipe:
    return load_config(RespondRecipe, overrides=["text.max_output=8", *overrides])


def respond(
    recipe: RespondRecipe, suite: Suite = SUITE, examples: Sequence[Any] = EXAMPLES
) -> tuple[list[Response], Ensemble]:
    """The responses of the recipe's system, and the networks that it was given."""
    members = load_members(recipe.sources(), list(suite.tasks), share=recipe.share)
    ensemble = Ensemble(members=members, suite=suite, text=recipe.text, evaluation=recipe.evaluation)
    responses, n_cut = recipe.system.system().respond(ensemble, examples)
    assert n_cut == 0
    return responses, ensemble


def texts(*overrides: str) -> list[str]:
    return [response.text for response in respond(recipe_of(*overrides))[0]]


def test_plain_generation_is_the_prediction_of_the_network(skills: Callable[[str], Path]) -> None:
    responses, ensemble = respond(recipe_of(f"skills={skills('base')}", "evaluation.beams=2"))
    main = ensemble.members[MAIN].network
    data = ensemble.encode(EXAMPLES)
    assert [x.text for x in responses] == predictions(main, data, EvaluationOptions(beams=2), 8)
    assert responses[0].details == {}


def test_experts_that_share_a_backbone_answer_as_experts_with_networks_of_their_own(
    skills: Callable[[str], Path],
) -> None:
    system = (
        "system.kind=dexperts", f"skills={skills('base')}", f"system.expert={skills('expert')}",
        f"system.anti_expert={skills('anti')}", "evaluation.batch=2",
    )  # fmt: skip
    plain = texts(f"skills={skills('base')}")
    for search in ((), ("evaluation.beams=3",), ("evaluation.sample=true", "evaluation.seed=4")):
        shared, apart = (
            [x.text for x in respond(recipe_of(*system, *search, f"share={x}"))[0]] for x in ("true", "false")
        )
        assert shared == apart
    weightless = ("system.expert_weight=0", "system.anti_expert_weight=0")
    assert texts(*system, *weightless) == plain
    assert texts(*system) != plain


def test_what_a_system_does_not_read_or_lacks_is_refused(skills: Callable[[str], Path]) -> None:
    base = f"skills={skills('base')}"
    for overrides, message in [
        ((base, "share=false"), "share.*one network answers"),
        ((base, "system.kind=dexperts", "evaluation.method=rank"), "evaluation.method.*the system writes"),
        ((base, "system.kind=dexperts", "system.expert=x", "system.anti_expert_weight=2"), "there is no anti_expert"),
        (("backbone=tiny-causal", "base=[x]"), "there are no skills"),
        ((base, "system.kind=dexpert"), "Did you mean 'dexperts'"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            recipe_of(*overrides)
    for overrides, message in [
        (("system.kind=dexperts",), "needs system.expert=FOLDER, system.anti_expert=FOLDER, or both"),
        (("system.kind=noisy_channel", "system.channel=x"), "needs system.language_model=FOLDER"),
        (("system.kind=noisy_channel", "system.channel=x", "system.language_model=y"), "set evaluation.beams=10"),
    ]:
        recipe = recipe_of(base, *overrides)
        with pytest.raises(InputError, match=message):
            recipe.system.system().check(recipe.evaluation, list(SUITE.tasks.values()))
