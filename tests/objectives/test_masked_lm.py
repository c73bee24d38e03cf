"""Masked language modelling: which tokens are hidden and how, the loss, the head that checkpoints bring along."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from tokenizer_cases import word_pieces
from training_cases import no_examples, rows_of, suite_of, tiny_model
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    MPNetConfig,
    PreTrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from polyray.backbones import Backbone, load_backbone
from polyray.backbones.heads import Inverse, MaskedHead, masked_head
from polyray.backbones.text import ByteText
from polyray.modules.site import mixing
from polyray.objectives import EvaluationOptions, TextOptions, objective_for
from polyray.objectives.losses import IGNORED
from polyray.objectives.masked_lm import MaskedLM, TextRow, hide
from polyray.tasks import RawText, Task
from polyray.training.evaluation import predictions
from polyray.training.model import Modular

MASKED = MaskedLM()
TASKS = [
    Task(name=name, category="", metric="Masked-ACC", labels=None, seeds=(0,), read=no_examples, objective="masked_lm")
    for name in ("eng", "hau")
]
SUITE = suite_of(*TASKS)
LINES = [RawText(task="eng", text=f"line {n} of some text") for n in range(20)]
LINES += [RawText(task="hau", text="wani layi") for _ in range(3)]


def model() -> Modular:
    return tiny_model("tiny-encoder", TASKS)


def row(*ids: int) -> TextRow:
    return TextRow(example=RawText(task="eng", text=""), input=ids)


def test_lines_are_joined_and_cut_into_pieces_of_the_longest_input_task_by_task() -> None:
    backbone = load_backbone("tiny-encoder")
    rows = MASKED.encode(backbone, SUITE.tasks, LINES, TextOptions(max_input=64))
    text = " ".join(line.text for line in LINES if line.task == "eng")
    pieces = [text[start : start + 63] for start in range(0, len(text), 63)]  # and an end behind each
    assert [x.example.text for x in rows if x.example.task == "eng"] == pieces
    assert [x.example.text for x in rows if x.example.task == "hau"] == ["wani layi wani layi wani layi"]
    assert max(x.n_read for x in rows) == 64 and all(x.input[-1] == backbone.text.eos for x in rows)
    assert not any(x.cut or x.n_written for x in rows)


def test_fifteen_percent_of_the_tokens_are_hidden_eighty_percent_of_them_by_the_mask_and_ten_by_others() -> None:
    backbone = load_backbone("tiny-encoder")
    text = backbone.text
    ids = [*text.pieces(["abcdefgh" * 500])[0], text.eos]  # 4000 letters and an end
    fates: Counter[str] = Counter()
    for seed in range(20):
        tokens, labels = hide(backbone, ids, torch.Generator().manual_seed(seed))
        hidden = [i for i, label in enumerate(labels) if label != IGNORED]
        assert len(hidden) == 600 and [labels[i] for i in hidden] == [ids[i] for i in hidden]
        assert all(tokens[i] == ids[i] for i in range(len(ids)) if labels[i] == IGNORED)
        fates["mask"] += sum(tokens[i] == text.mask for i in hidden)
        fates["same"] += sum(tokens[i] == ids[i] for i in hidden)
        fates["other"] += sum(tokens[i] not in (text.mask, ids[i]) for i in hidden)
    # of 12,000: standard deviation of the shares 0.004; one in 255 of the replaced is replaced by itself
    assert [fates[name] / 12_000 for name in ("mask", "other", "same")] == pytest.approx([0.8, 0.1, 0.1], abs=0.015)


def test_special_tokens_are_neither_hidden_nor_put_in_and_every_text_has_a_hidden_token() -> None:
    backbone = load_backbone("tiny-encoder")
    backbone.text = word_pieces()
    special = {0, 1, 2, 3, 4}
    assert backbone.text.special == special and set(backbone.text.ordinary.tolist()) == set(range(5, 11))
    replaced = set()
    for seed in range(300):
        tokens, labels = hide(backbone, [2, 5, 1, 6, 3], torch.Generator().manual_seed(seed))
        assert [labels[i] for i in (0, 2, 4)] == [IGNORED] * 3 and [tokens[i] for i in (0, 2, 4)] == [2, 1, 3]
        assert sum(label != IGNORED for label in labels) == 1  # 15 % of 2, but at least one
        replaced |= {tokens[i] for i in (1, 3)}
    assert replaced == {4, *range(5, 11)}
    assert hide(backbone, [2, 3], torch.Generator()) == ([2, 3], [IGNORED, IGNORED])


def test_training_hides_other_tokens_for_each_generator_and_evaluation_always_the_same() -> None:
    backbone = load_backbone("tiny-encoder")
    rows = MASKED.encode(backbone, SUITE.tasks, LINES, TextOptions(max_input=64))
    drawn = [MASKED.collate(backbone, rows, torch.Generator().manual_seed(seed)).labels for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    fixed = [MASKED.collate(backbone, chosen).labels for chosen in (rows, rows[::-1])]
    assert torch.equal(fixed[0], fixed[1].flip(0))
    patterns = {tuple((labels != IGNORED).tolist()) for labels in fixed[0][:5]}
    assert len(patterns) == 5  # pieces of equal length hide different places


def test_the_loss_is_the_mean_over_hidden_tokens_by_hand() -> None:
    """A head of zeros finds all 259 tokens equally likely: log 259 for each."""
    of = model()
    with torch.no_grad():
        for name, parameter in of.heads.named_parameters():
            parameter.zero_() if name.endswith(("norm.weight", "bias")) else None
    data = rows_of(of, SUITE, LINES)
    batch = MASKED.collate(of.backbone, data.rows)
    with torch.no_grad(), mixing(of.inventory, of.router(batch.tasks)):
        losses = MASKED.loss(of, batch)
    assert losses.tolist() == pytest.approx([torch.tensor(259.0).log().item()] * len(data.rows))
    counts = (batch.labels != IGNORED).sum(1)
    assert batch.weights.tolist() == pytest.approx((counts / counts.sum()).tolist())
    recoveries = predictions(of, data, EvaluationOptions(), 0)
    assert [recovery["tokens"] for recovery in recoveries] == counts.tolist()
    assert SUITE.tasks["eng"].score(recoveries, data.rows)["perplexity"] == pytest.approx(259, rel=1e-4)


class Oracle(torch.nn.Module):
    """A head that knows the hidden tokens of a batch."""

    def __init__(self, labels: torch.Tensor) -> None:
        super().__init__()
        self.targets = labels[labels != IGNORED]

    def forward(self, hidden: torch.Tensor, embeddings: torch.Tensor, inverse: Inverse) -> torch.Tensor:
        return 1e4 * torch.nn.functional.one_hot(self.targets, len(embeddings)).float()


def test_the_predictions_of_a_perfect_head_score_one() -> None:
    of = model()
    data = rows_of(of, SUITE, LINES[:5])
    of.heads["masked_lm"] = Oracle(MASKED.collate(of.backbone, data.rows).labels)
    recoveries = predictions(of, data, EvaluationOptions(), 0)
    scores = SUITE.tasks["eng"].score(recoveries, data.examples)
    assert scores == pytest.approx({"Masked-ACC": 1.0, "loss": 0.0, "perplexity": 1.0})


def test_a_fresh_head_is_tied_to_the_input_embeddings_and_has_a_bias_of_its_own() -> None:
    backbone = load_backbone("tiny-encoder")
    head = masked_head(backbone, torch.Generator().manual_seed(0))
    assert {name: tuple(p.shape) for name, p in head.named_parameters()} == {
        "dense.weight": (64, 64), "dense.bias": (64,), "norm.weight": (64,), "norm.bias": (64,), "bias": (259,),
    }  # fmt: skip
    hidden = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        head.bias[7] = 2.0
        logits = head(hidden, backbone.embeddings)
        features = head.norm(torch.nn.functional.gelu(head.dense(hidden)))
        expected = features @ backbone.embeddings.T
    expected[:, 7] += 2.0
    torch.testing.assert_close(logits, expected)


SMALL = {"vocab_size": 11, "pad_token_id": 0, "max_position_embeddings": 40}
DEEP = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12, **SMALL}
FAMILIES: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**DEEP),  # type: ignore[arg-type]
    "roberta": RobertaConfig(**DEEP),  # type: ignore[arg-type]
    "xlm-roberta": XLMRobertaConfig(**DEEP),  # type: ignore[arg-type]
    "mpnet": MPNetConfig(**DEEP),  # type: ignore[arg-type]
    "electra": ElectraConfig(embedding_size=4, **DEEP),  # type: ignore[arg-type]
    "distilbert": DistilBertConfig(dim=8, n_layers=1, n_heads=2, hidden_dim=12, **SMALL),  # type: ignore[arg-type]
}


def checkpoint(folder: Path, config: PreTrainedConfig, with_head: bool) -> Backbone:
    """A checkpoint of a random network whose head has values that no fresh one has."""
    torch.manual_seed(0)
    network = (AutoModelForMaskedLM if with_head else AutoModel).from_config(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    network.save_pretrained(folder)
    word_pieces().save(folder)
    return load_backbone(str(folder))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_of_a_checkpoint_gives_the_logits_that_transformers_computes(family: str, tmp_path: Path) -> None:
    backbone = checkpoint(tmp_path, FAMILIES[family], with_head=True)
    whole = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    head = masked_head(backbone, torch.Generator().manual_seed(0))
    ids = torch.tensor([[2, 5, 6, 7, 3], [2, 8, 9, 3, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        hidden = backbone.model(input_ids=ids, attention_mask=mask).last_hidden_state
        logits = head(hidden, backbone.embeddings)
        theirs = whole(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(logits[mask == 1], theirs[mask == 1], rtol=1e-5, atol=1e-5)
    assert objective_for(backbone, TASKS) is not None


def test_a_checkpoint_without_a_head_gets_a_fresh_one(tmp_path: Path) -> None:
    backbone = checkpoint(tmp_path, FAMILIES["bert"], with_head=False)
    head = masked_head(backbone, torch.Generator().manual_seed(0))
    fresh = MaskedHead(8, 8, 11, 1e-12, torch.Generator().manual_seed(0))
    assert all(torch.equal(tensor, fresh.state_dict()[name]) for name, tensor in head.state_dict().items())


def test_a_byte_that_no_text_has_stands_for_a_hidden_byte() -> None:
    text = ByteText()
    assert text.mask not in text.encode("".join(map(chr, range(1, 0x3000))))
    assert text.mask in text.special and text.mask < text.n_tokens
