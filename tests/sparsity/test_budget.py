"""Budgets divide exactly K entries, and roles say which parameters compete for them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import BertConfig, BertForMaskedLM

from polyray.config import load_config
from polyray.errors import InputError
from polyray.sparsity import BudgetOptions, Distances, EligibleOptions, budgets, eligible, select
from polyray.sparsity.eligible import weights

SIZES = {"words": 60, "layer.0": 25, "layer.1": 10, "out": 5}


def divided(**options: object) -> dict[str, int]:
    return {" ".join(b.names): b.k for b in budgets(SIZES, BudgetOptions.model_validate(options))}


def test_budgets_are_for_all_tensors_for_each_or_for_patterns() -> None:
    assert divided(density=0.085) == {"words layer.0 layer.1 out": 8}  # 8.5 rounds to even
    assert divided(k=10) == {"words layer.0 layer.1 out": 10}
    assert divided(k=10, per="tensor") == {"words": 6, "layer.0": 3, "layer.1": 1, "out": 0}  # 6, 2.5, 1, 0.5
    assert divided(k=10, shares={"layer.1": 0.2, "layer.*": 0.3}) == {"layer.1": 2, "layer.0": 3, "words out": 5}
    assert divided(k=13, shares={"words": 0}, per="tensor") == {"words": 0, "layer.0": 8, "layer.1": 3, "out": 2}


@settings(max_examples=50)
@given(st.integers(1, 50), st.sampled_from(["network", "tensor"]), st.floats(0.25, 0.6))
def test_budgets_sum_to_k_and_exceed_no_tensor(k: int, per: str, words: float) -> None:
    numbers = divided(k=k, per=per, shares={"words": words})
    assert sum(numbers.values()) == k
    assert all(number <= sum(SIZES[name] for name in names.split()) for names, number in numbers.items())


def test_budgets_that_do_not_fit_are_refused() -> None:
    refused: dict[str, dict[str, object]] = {
        "101 entries are to be selected, and only 100 are eligible": {"k": 101},
        "no eligible tensor is left for 'word'. Did you mean 'words'": {"shares": {"word": 0.1}},
        "no eligible tensor is left for 'out'": {"shares": {"o*": 0.1, "out": 0.1}},
        "cover every tensor and sum to 0.9: make them sum to 1": {"k": 10, "shares": {"*": 0.9}},
        "shares: out would get 8 entries, and there are 5": {"k": 10, "shares": {"out": 0.8}},
        "shares: all other tensors would get 48 entries, and there are 40": {"k": 80, "shares": {"words": 0.4}},
    }
    for message, options in refused.items():
        with pytest.raises(InputError) as error:
            divided(**options)
        assert message in str(error.value)
    with pytest.raises(ValueError, match="sum to 1 at most"):
        BudgetOptions(shares={"a": 0.6, "b": 0.6})
    with pytest.raises(InputError, match="density"):
        load_config(BudgetOptions, overrides=["k=3", "density=0.5"])


def test_a_selection_is_the_largest_changes_of_each_budget_and_never_an_entry_that_did_not_change() -> None:
    start = {"a": torch.zeros(6), "b": torch.zeros(2, 3)}
    trained = {"a": torch.tensor([0, 5.0, 0, -4, 3, 0]), "b": torch.tensor([[9.0, 0, 8], [0, 0, 7]])}
    pair = Distances(trained, start)
    sizes = {"a": 6, "b": 6}

    def chosen(**options: object) -> dict[str, list[int]]:
        selected = select(pair, budgets(sizes, BudgetOptions.model_validate(options)))
        return {name: indices.tolist() for name, indices in selected.items()}

    assert chosen(k=4) == {"a": [1], "b": [0, 2, 5]}
    assert chosen(k=4, per="tensor") == {"a": [1, 3], "b": [0, 2]}
    assert chosen(k=3, shares={"b": 0}) == {"a": [1, 3, 4], "b": []}
    assert chosen(k=6) == {"a": [1, 3, 4], "b": [0, 2, 5]}
    with pytest.raises(InputError, match="^7 entries .* only 6 entries of a and 1 other tensors changed: select 6"):
        chosen(k=7)
    with pytest.raises(InputError, match="^4 entries are to be selected, and only 3 entries of b changed"):
        chosen(k=8, shares={"b": 0.5})


class Tagger(nn.Module):
    """A network with an embedding, a layer of each kind, and a head that is tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.norm, self.inner = nn.Embedding(4, 3), nn.LayerNorm(3), nn.GRUCell(3, 3)
        self.head = nn.Linear(3, 4)
        self.head.weight = self.words.weight


def test_roles_decide_which_parameters_compete() -> None:
    network, gru = Tagger(), ("inner.weight_ih", "inner.weight_hh")
    biases = ("inner.bias_ih", "inner.bias_hh")
    cases: list[tuple[dict[str, object], tuple[str, ...], tuple[str, ...]]] = [
        ({}, ("words.weight", *gru, *biases), ("head.bias",)),
        ({"embeddings": False, "biases": False, "heads": "frozen"}, gru, ()),
        ({"norms": True, "exclude": ("inner.*",)}, ("words.weight", "norm.weight", "norm.bias"), ("head.bias",)),
        ({"heads": "sparse", "exclude": ["words.*"]}, (*gru, *biases, "head.bias"), ()),
    ]
    for options, sparse, dense in cases:
        names = eligible(network, EligibleOptions.model_validate(options), ["head"])
        assert (names.sparse, names.dense) == (sparse, dense), options
    with pytest.raises(InputError, match=r"no parameter is called 'inn'\. Known: head\.bias, head\.weight"):
        eligible(network, EligibleOptions(exclude=("inn",)))
    with pytest.raises(InputError, match="No parameter is eligible"):
        eligible(network, EligibleOptions(exclude=("*",)))


def test_a_memory_is_counted_once_and_never_in_two_layouts() -> None:
    network = Tagger()
    assert ("words.weight", "head.weight") in weights(network)
    network.head.weight = nn.Parameter(network.words.weight.detach())  # another parameter of the same memory
    assert ("words.weight", "head.weight") in weights(network)
    network.head.weight = nn.Parameter(network.words.weight.detach()[1:])
    with pytest.raises(InputError, match=r"words\.weight and head\.weight share memory in different layouts"):
        weights(network)


def test_the_output_of_a_masked_language_model_is_tied_to_its_embeddings() -> None:
    config = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    network = BertForMaskedLM(config)
    names = eligible(network, EligibleOptions(), ["cls"])
    assert "bert.embeddings.word_embeddings.weight" in names.sparse
    assert [name for name in names.sparse if "LayerNorm" in name or name.startswith("cls.")] == []
    assert sorted(names.dense) == sorted(name for name, _ in network.named_parameters() if name.startswith("cls."))
