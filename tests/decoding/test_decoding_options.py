"""Options of decoding, and draws that depend on their seed alone."""

import pytest
import torch
from training_cases import KNOWN, answer_task, answers, rows_of, suite_of, tiny_model

from polyray.config import load_config
from polyray.decoding import DecodingOptions
from polyray.errors import InputError
from polyray.objectives import EvaluationOptions
from polyray.training.evaluation import predictions


def test_options_that_the_search_does_not_read_are_refused() -> None:
    for option in ("temperature=0.5", "top_k=3", "top_p=0.5", "seed=1", "length_penalty=2"):
        with pytest.raises(InputError, match=r"(sample is false: nothing is drawn|beams is 1)"):
            load_config(DecodingOptions, overrides=[option])
    assert load_config(DecodingOptions, overrides=["sample=true", "top_k=3", "seed=1"]).top_k == 3
    assert load_config(DecodingOptions, overrides=["beams=2", "length_penalty=0.5"]).length_penalty == 0.5


def test_draws_depend_on_their_seed_and_leave_the_generators_alone() -> None:
    suite = suite_of(*map(answer_task, KNOWN))
    model = tiny_model("tiny-causal", list(suite.tasks.values()))
    data = rows_of(model, suite, answers("colour", 3))
    first = predictions(model, data, EvaluationOptions(sample=True, seed=1), 4)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert predictions(model, data, EvaluationOptions(sample=True, seed=1), 4) == first
    assert predictions(model, data, EvaluationOptions(sample=True, seed=2), 4) != first
    # of one token at most nothing but the likeliest is left to draw
    assert predictions(model, data, EvaluationOptions(sample=True, seed=2, top_k=1), 4) == predictions(
        model, data, EvaluationOptions(), 4
    )
    assert torch.equal(torch.get_rng_state(), before)
