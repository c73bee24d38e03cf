"""Systems that answer, each beside its definition computed another way."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from grounded_cases import write_dialogues
from responding_cases import write_skills
from training_cases import answer_task, answers, suite_of

from polyray.config import load_config
from polyray.errors import InputError
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.responding.members import load_members
from polyray.responding.recipe import RespondRecipe
from polyray.responding.system import MAIN, Ensemble, Response
from polyray.tasks import DialogueExample, Suite, Turn, load_suite
from polyray.training.evaluation import predictions

SUITE = suite_of(answer_task("colour"))
EXAMPLES = answers("colour", 3)


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return write_skills(tmp_path_factory.mktemp("skills"))


def recipe_of(*overrides: str) -> RespondRecipe:
    return load_config(RespondRecipe, overrides=["text.max_output=6", *overrides])


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
    assert [x.text for x in responses] == predictions(main, data, EvaluationOptions(beams=2), 6)
    assert responses[0].details == {}


def test_experts_that_share_a_backbone_answer_as_experts_with_networks_of_their_own(
    skills: Callable[[str], Path],
) -> None:
    system = (
        "system.kind=dexperts", f"skills={skills('base')}", f"system.expert={skills('expert')}",
        f"system.anti_expert={skills('anti')}", "evaluation.batch=2",
    )  # fmt: skip
    plain = texts(f"skills={skills('base')}")
    for search in (("evaluation.beams=2",), ("evaluation.sample=true", "evaluation.seed=4")):
        shared, apart = (
            [x.text for x in respond(recipe_of(*system, *search, f"share={x}"))[0]] for x in ("true", "false")
        )
        assert shared == apart
    weightless = ("system.expert_weight=0", "system.anti_expert_weight=0")
    assert texts(*system, *weightless) == plain
    assert texts(*system) != plain
    same = f"system.anti_expert={skills('expert')}"
    assert texts(*system, same, "system.expert_weight=0.7", "system.anti_expert_weight=0.7") == plain, "they cancel"


def dialogues(folder: Path) -> tuple[tuple[str, ...], Suite, Sequence[Any]]:
    """Overrides that choose four dialogues, one without knowledge; their suite, and the examples."""
    overrides = (*write_dialogues(folder), "text.layout=markers")
    suite = load_suite(recipe_of(*overrides).tasks)
    first, *others = suite.tasks["places"].examples("test")
    return overrides, suite, [replace(first, knowledge=()), *others]


def test_control_tokens_stand_before_every_input_in_place_of_those_of_the_task(
    skills: Callable[[str], Path], tmp_path: Path
) -> None:
    overrides, suite, examples = dialogues(tmp_path)
    main = (*overrides, f"skills={skills('base')}")
    asked = [replace(example, control=("<a>", "<b>")) for example in examples]
    expected, _ = respond(recipe_of(*main), suite, asked)
    replaced = [replace(example, control=("<x>",)) for example in examples]
    answers, _ = respond(recipe_of(*main, "system.kind=ctrl", "system.tokens=[<a>, <b>]"), suite, replaced)
    assert answers == expected and answers != respond(recipe_of(*main), suite, examples)[0]


def test_a_noisy_channel_chooses_the_beam_with_the_best_sum_of_whole_log_likelihoods(
    skills: Callable[[str], Path], tmp_path: Path
) -> None:
    overrides, suite, examples = dialogues(tmp_path)
    recipe = recipe_of(
        *overrides, f"skills={skills('base')}", "system.kind=noisy_channel", f"system.channel={skills('expert')}",
        f"system.language_model={skills('anti')}", "evaluation.beams=3", "evaluation.batch=2",
    )  # fmt: skip
    responses, ensemble = respond(recipe, suite, examples)
    for example, response in zip(examples, responses, strict=True):
        candidates = response.details["candidates"]
        assert len(candidates) == 3 and response.text == candidates[0]["text"]
        assert [x["score"] for x in candidates] == sorted((x["score"] for x in candidates), reverse=True)
        for candidate in candidates:
            history = (*example.history, Turn(speaker="system", text=candidate["text"]))
            knowledge = replace(example, history=history, knowledge=(), outputs=example.knowledge)
            alone = replace(example, knowledge=(), outputs=(candidate["text"],))
            channel = summed(ensemble, "channel", knowledge) if example.knowledge else 0.0
            language = summed(ensemble, "language_model", alone)
            assert candidate["channel"] == pytest.approx(channel, rel=1e-4, abs=1e-4)
            assert candidate["language_model"] == pytest.approx(language, rel=1e-4)
            total = candidate["direct"] + 0.5 * channel + 0.2 * language
            assert candidate["score"] == pytest.approx(total, rel=1e-4)
    plain = recipe_of(*overrides, f"skills={skills('base')}", "evaluation.beams=3")
    direct = [max(x.details["candidates"], key=lambda each: each["direct"])["text"] for x in responses]
    assert direct == [x.text for x in respond(plain, suite, examples)[0]]


@torch.no_grad()
def summed(ensemble: Ensemble, name: str, example: DialogueExample) -> float:
    """Log-likelihood of the first output, token by token, from one pass over the sequence."""
    (row,) = ensemble.encode([example], TextOptions(layout="markers")).rows
    member = ensemble.members[name]
    with member.in_force():
        logits = member.backbone.model(input_ids=torch.tensor([[*row.input, *row.output]])).logits[0]
    logs = logits[len(row.input) - 1 : -1].log_softmax(1)
    return sum(float(logs[position, token]) for position, token in enumerate(row.output))


def test_what_a_system_does_not_read_or_lacks_is_refused(skills: Callable[[str], Path]) -> None:
    base = f"skills={skills('base')}"
    for overrides, message in [
        ((base, "share=false"), "share.*one network answers"),
        ((base, "system.kind=dexperts", "evaluation.method=rank"), "evaluation.method.*the system writes"),
        (("backbone=tiny-causal", "base=[x]"), "there are no skills"),
        ((base, "system.kind=dexpert"), "Did you mean 'dexperts'"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            recipe_of(*overrides)
    for overrides, message in [
        (("system.kind=dexperts",), "needs system.expert=FOLDER, system.anti_expert=FOLDER, or both"),
        (("system.kind=dexperts", "system.expert=x", "system.anti_expert_weight=2"), "there is no anti_expert"),
        (("system.kind=noisy_channel", "system.channel=x"), "needs system.language_model=FOLDER"),
        (("system.kind=noisy_channel", "system.channel=x", "system.language_model=y"), "set evaluation.beams=10"),
    ]:
        recipe = recipe_of(base, *overrides)
        with pytest.raises(InputError, match=message):
            recipe.system.system().check(recipe.evaluation, list(SUITE.tasks.values()))
