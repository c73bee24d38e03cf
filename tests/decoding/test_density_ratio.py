"""Experts and anti-experts at decoding, beside a slow loop without caches, batches and logits processors."""

from collections.abc import Sequence

import pytest
import torch
from decoding_cases import FAMILIES, INPUTS, ToyMember, next_logits, start_of, toy
from gathering import for_each
from torch import Tensor

from polyray.backbones import Backbone
from polyray.decoding import DecodingOptions
from polyray.decoding.density_ratio import DensityRatio, density_ratio
from polyray.decoding.generation import continuations, drawing, inputs_of

LENGTH = 5
TWO = ("t5", "gpt2")  # one of each kind; the others belong to the slow tests
OPTIONS = (
    DecodingOptions(beams=3, length_penalty=0.3, no_repeat_ngram=2),
    DecodingOptions(sample=True, temperature=0.8, seed=3),
)
Weighted = Sequence[tuple[Backbone, float]]


def written(
    base: Backbone, others: Weighted, options: DecodingOptions, inputs: Sequence[Sequence[int]] = INPUTS, n: int = 1
) -> list[list[tuple[int, ...]]]:
    """The `n` best continuations of each input, cut behind their ends, by the processor with its caches."""
    read = inputs_of(base, inputs)
    processor = DensityRatio([(ToyMember(backbone), weight) for backbone, weight in others], read)
    with drawing(options, torch.device("cpu")):
        best = continuations(base, read, options, LENGTH, processors=[processor], n_best=n)
    return [[_ended(each.tokens) for each in of_input] for of_input in best]


def _ended(tokens: Sequence[int]) -> tuple[int, ...]:
    return tuple(tokens[: tokens.index(1) + 1] if 1 in tokens else tokens)


def products(base: Backbone, others: Weighted, read: Sequence[int], tokens: Sequence[int]) -> Tensor:
    """Product [V] of probabilities to their powers, one network after the other, each from a whole pass."""
    probabilities = next_logits(base, read, tokens).softmax(0).double()
    for backbone, weight in others:
        probabilities = probabilities * next_logits(backbone, read, tokens).softmax(0).double() ** weight
    return probabilities / probabilities.sum()


def slowly(base: Backbone, others: Weighted, read: Sequence[int]) -> tuple[int, ...]:
    """The greedy continuation, token by token."""
    tokens = start_of(base)
    skipped = len(tokens)
    while len(tokens) - skipped < LENGTH and 1 not in tokens[skipped:]:
        tokens.append(int(products(base, others, read, tokens).argmax()))
    return tuple(tokens[skipped:])


class Recomputed:
    """As DensityRatio, each row anew from a whole pass over its unpadded sequence."""

    def __init__(self, base: Backbone, others: Weighted) -> None:
        self._base, self._others = base, others

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        n_rows, n_read = len(input_ids) // len(INPUTS), max(map(len, INPUTS))
        skipped = n_read if self._base.continues else 0
        rows = [
            products(self._base, self._others, INPUTS[row // n_rows], ids[skipped:].tolist())
            for row, ids in enumerate(input_ids)
        ]
        return torch.stack(rows).float().log()


def members(family: str) -> tuple[Backbone, Weighted]:
    return toy(family, 0), [(toy(family, 1), -0.5), (toy(family, 2), 0.7)]


def test_a_product_by_hand() -> None:
    # base (1/2, 1/4, 1/4), expert to the power 1 (1/5, 4/5, 0): 1/10 to 2/10; the anti-expert is uniform
    base, expert, anti = (torch.tensor([x]).log() for x in ([0.5, 0.25, 0.25], [0.2, 0.8, 0.0], [1 / 3] * 3))
    shifted = [(expert + 7.0, 1.0), (anti - 3.0, -2.0)]  # logits: known but for a constant
    assert torch.allclose(density_ratio(base + 1.0, shifted).exp(), torch.tensor([[1 / 3, 2 / 3, 0.0]]))
    # a token that the base rules out stays so; one that another network does not know is ruled out, too
    ruled = density_ratio(torch.tensor([[0.0, -torch.inf, 0.0, 0.0]]), [(torch.zeros(1, 3), -9.0)])
    assert torch.allclose(ruled.exp(), torch.tensor([[0.5, 0.0, 0.5, 0.0]]))


def check_greedy(family: str) -> None:
    base, others = members(family)
    expected = [slowly(base, others, read) for read in INPUTS]
    assert [best for (best,) in written(base, others, DecodingOptions())] == expected
    assert [written(base, others, DecodingOptions(), [read])[0][0] for read in INPUTS] == expected
    assert [slowly(base, [], read) for read in INPUTS] != expected, "the other networks change something"


@for_each(family=TWO)
def test_greedy_continuations_equal_a_slow_loop_and_are_the_same_in_every_batch(family: str) -> None:
    check_greedy(family)


def check_search(family: str, options: DecodingOptions) -> None:
    base, others = members(family)
    with drawing(options, torch.device("cpu")):
        anew = continuations(
            base, inputs_of(base, INPUTS), options, LENGTH, processors=[Recomputed(base, others)], n_best=options.beams
        )
    expected = [[_ended(each.tokens) for each in of_input] for of_input in anew]
    assert written(base, others, options, n=options.beams) == expected


@for_each(family=TWO, options=OPTIONS)
def test_beams_and_draws_equal_those_of_products_that_are_computed_anew(family: str, options: DecodingOptions) -> None:
    check_search(family, options)


@pytest.mark.slow
@for_each(
    family=tuple(FAMILIES),
    options=(*OPTIONS, DecodingOptions(beams=4, length_penalty=2.0), DecodingOptions(sample=True, beams=2, top_k=5)),
)
def test_every_family_searches_as_if_it_had_no_cache(family: str, options: DecodingOptions) -> None:
    check_greedy(family)
    check_search(family, options)


@for_each(family=TWO, options=(DecodingOptions(beams=3, no_repeat_ngram=1), DecodingOptions(sample=True, seed=1)))
def test_weights_of_0_leave_plain_generation(family: str, options: DecodingOptions) -> None:
    base, others = members(family)
    with drawing(options, torch.device("cpu")):
        plain = continuations(base, inputs_of(base, INPUTS), options, LENGTH)
    expected = [[_ended(each.tokens) for each in of_input] for of_input in plain]
    assert written(base, [(backbone, 0.0) for backbone, _ in others], options) == expected


@for_each(family=TWO)
def test_beams_do_not_depend_on_the_inputs_beside(family: str) -> None:
    base, others = members(family)
    options = DecodingOptions(beams=3)
    together = written(base, others, options, n=3)
    assert together == [written(base, others, options, [read], n=3)[0] for read in INPUTS]
