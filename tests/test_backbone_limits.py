"""Limits of lengths and fingerprints of backbones: known when they are loaded, the same in every process."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from backbone_cases import DEEP, POSITIONS, SEQ2SEQ, SPECIAL, save_folder, tiny_backbone, tiny_model
from gathering import for_each
from training_cases import answer_task
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BertModel,
    PreTrainedModel,
    ProphetNetConfig,
    T5EncoderModel,
    XmodConfig,
)

from polyray.backbones import load_backbone
from polyray.backbones.limits import limits
from polyray.backbones.skeleton import load_skeleton
from polyray.errors import InputError
from polyray.modules.options import SkillOptions
from polyray.objectives import EvaluationOptions, TextOptions
from polyray.objectives.answers import Answers
from polyray.objectives.choices import Choices
from polyray.routing import RoutingOptions
from polyray.skills.spec import InventorySpec
from polyray.tasks import TextAnswers
from polyray.training.model import build

TABLES = ("bert", "roberta", "xlm-roberta", "mpnet", "albert", "electra", "opt", "gpt2", "gptj", "bart", "pegasus")
"""Families that look positions up in a table, some of them behind an offset."""
PADDING = 3  # the first position is number 4
ROWS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "bert": (AutoModel, {}, 0),
    "roberta": (AutoModel, {}, PADDING + 1),
    "xmod": (AutoModel, {"default_language": "en_XX"}, PADDING + 1),
    "ibert": (AutoModel, {}, PADDING + 1),
    "openai-gpt": (AutoModelForCausalLM, {"n_positions": POSITIONS, "n_embd": 8, "n_layer": 1, "n_head": 2}, 0),
}
"""Family -> how its model is made with POSITIONS rows for positions, and how many of them stand before the first."""
TASK = answer_task("colour")


def _reads(model: PreTrainedModel, n_read: int, n_written: int) -> bool:
    ids = torch.full((1, n_read), 5)
    named = {"decoder_input_ids": torch.full((1, n_written), 5)} if n_written else {}
    try:
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids), **named)
    except (IndexError, RuntimeError):
        return False
    return True


@for_each(family=TABLES)
def test_a_network_reads_and_writes_as_many_tokens_as_its_limits_say_and_no_more(family: str) -> None:
    model = tiny_model(family)
    crossing = family in SEQ2SEQ
    assert limits(model) == (POSITIONS, POSITIONS * crossing)
    assert _reads(model, POSITIONS, POSITIONS * crossing)
    assert not _reads(model, POSITIONS + 1, crossing)
    assert not crossing or not _reads(model, 1, POSITIONS + 1)


@for_each(family=[*ROWS])
def test_rows_before_the_first_position_are_no_positions(family: str) -> None:
    build, fields, first = ROWS[family]
    config = AutoConfig.for_model(family, **{**DEEP, "pad_token_id": PADDING, **fields})
    model = build.from_config(config).eval()
    assert limits(model) == (POSITIONS - first, 0)
    assert _reads(model, POSITIONS - first, 0)
    assert not _reads(model, POSITIONS - first + 1, 0)


def test_a_decoder_that_predicts_two_tokens_ahead_writes_one_fewer_than_it_has_positions() -> None:
    config = ProphetNetConfig(
        hidden_size=8, num_encoder_layers=1, num_decoder_layers=1, num_encoder_attention_heads=2,
        num_decoder_attention_heads=2, encoder_ffn_dim=12, decoder_ffn_dim=12, max_position_embeddings=POSITIONS,
        **{**SPECIAL, "pad_token_id": PADDING},
    )  # fmt: skip
    model = AutoModelForSeq2SeqLM.from_config(config).eval()
    read, written = POSITIONS - PADDING - 1, POSITIONS - PADDING - 2  # further inputs would share the last position
    assert limits(model) == (read, written)
    assert _reads(model, read, written)
    assert not _reads(model, 1, written + 1)


def test_a_model_with_layers_for_languages_needs_one_of_them(tmp_path: Path) -> None:
    for language, reason in ((None, "names none"), ("fr_XX", "names 'fr_XX', which is not among them")):
        XmodConfig(**DEEP, languages=["en_XX", "de_DE"], default_language=language).save_pretrained(tmp_path)
        for load in (load_skeleton, load_backbone):  # before anything starts, and in a worker
            with pytest.raises(
                InputError, match=rf"2 languages, .* {reason}\..*config\.json.*Languages: en_XX, de_DE\."
            ):
                load(str(tmp_path))


@for_each(family=["t5", "bloom"])
def test_relative_positions_have_no_limit(family: str) -> None:
    assert limits(tiny_model(family)) == (0, 0)


def _example(n_words: int, *outputs: str) -> TextAnswers:
    return TextAnswers(task="colour", input=" ".join(["w1"] * n_words), outputs=outputs or ("w2",), choices=None)


def _text(**fields: Any) -> TextOptions:
    return TextOptions(max_input=100, **{"max_output": 6, **fields})


@for_each(family=["opt", "gpt2", "gptj", "llama"])
def test_an_input_leaves_room_for_the_answer_that_continues_it(family: str) -> None:
    backbone = tiny_backbone(family)
    fitting, longer = _example(POSITIONS - 6 - 1), _example(POSITIONS - 6)  # and <s>
    for examples in ([fitting, longer], [_example(POSITIONS)]):
        with pytest.raises(InputError, match=r"1 of .* 26 tokens that .* reads 32 at most.*max_output=6"):
            Answers().encode(backbone, {"colour": TASK}, examples, _text())
    rows = Answers().encode(backbone, {"colour": TASK}, [fitting, longer], _text(too_long="truncate"))
    assert [(row.n_read, row.cut) for row in rows] == [(POSITIONS - 6, False), (POSITIONS - 6, True)]


def test_what_was_cut_is_trained_ranked_and_answered() -> None:
    backbone = tiny_backbone("opt")
    long = TextAnswers(task="colour", input=" ".join(["w1"] * 90), outputs=("w2 " * 40,), choices=("w2 " * 40, "w3"))
    rows = Answers().encode(backbone, {"colour": TASK}, [long, _example(3)], _text(too_long="truncate"))
    model = build(backbone, _spec(), [TASK], torch.Generator().manual_seed(0)).eval()
    batch = Answers().collate(backbone, rows)
    assert batch.tokens.shape[1] == POSITIONS
    for method in ("generate", "rank"):
        chosen = rows if method == "generate" else rows[:1]
        assert len(Answers().predict(model, chosen, EvaluationOptions(method=method), 6)) == len(chosen)
    ranked = TextAnswers(task="colour", input="w1", outputs=("w3",), choices=("w2 " * 40, "w3"))
    with pytest.raises(InputError, match=r"1 of 1 examples"):
        Answers().encode(backbone, {"colour": TASK}, [ranked], _text())


def _spec() -> InventorySpec:
    return InventorySpec(
        modules=SkillOptions.model_validate({"kind": "lora", "rank": 2}),
        routing=RoutingOptions.model_validate({"kind": "polytropon", "n_skills": 2}),
    )


def test_a_decoder_of_its_own_has_a_limit_of_its_own() -> None:
    backbone, long = tiny_backbone("bart"), _example(3, "w2 " * 40)
    with pytest.raises(InputError, match=r"1 of 1 examples"):
        Answers().encode(backbone, {"colour": TASK}, [long], _text(max_output=64))
    (row,) = Answers().encode(backbone, {"colour": TASK}, [long], _text(max_output=64, too_long="truncate"))
    assert row.n_written == POSITIONS
    model = build(backbone, _spec(), [TASK], torch.Generator().manual_seed(0)).eval()
    assert len(Answers().predict(model, [row], EvaluationOptions(), 64)) == 1


def test_answers_that_leave_no_room_for_an_input_are_refused() -> None:
    with pytest.raises(InputError, match=r"reads 32 tokens at most, input and answer together: text\.max_output=32"):
        Answers().encode(tiny_backbone("gpt2"), {"colour": TASK}, [_example(1)], _text(max_output=32))


def test_an_encoder_with_an_offset_reads_up_to_its_limit() -> None:
    backbone = tiny_backbone("roberta")
    examples = [TextAnswers(task="colour", input=" ".join(["w1"] * n), outputs=("red",)) for n in (30, 31, 90)]
    with pytest.raises(InputError, match="2 of 3 examples"):
        Choices().encode(backbone, {"colour": TASK}, examples, _text())
    rows = Choices().encode(backbone, {"colour": TASK}, examples, _text(too_long="truncate"))
    assert [row.n_read for row in rows] == [POSITIONS] * 3
    model = build(backbone, _spec(), [TASK], torch.Generator().manual_seed(0)).eval()
    assert len(Choices().predict(model, rows, EvaluationOptions(), 0)) == 3


@for_each(family=["bert", "xlm-roberta", "mpnet", "albert"])
def test_the_fingerprint_is_of_the_file_alone(family: str, tmp_path: Path) -> None:
    save_folder(family, tmp_path / family)
    fingerprints = set()
    for seed in range(2):  # a pooler that the file lacks would be drawn anew
        torch.manual_seed(seed)
        backbone = load_backbone(str(tmp_path / family))
        fingerprints.add(backbone.fingerprint)
        assert not any(name.startswith("pooler") for name, _ in backbone.network.named_modules())
    assert len(fingerprints) == 1


def test_a_pooler_in_the_file_changes_no_fingerprint(tmp_path: Path) -> None:
    save_folder("bert", tmp_path)
    without = load_backbone(str(tmp_path)).fingerprint
    pooling = BertModel.from_pretrained(tmp_path)
    assert pooling.pooler is not None
    pooling.save_pretrained(tmp_path)
    assert load_backbone(str(tmp_path)).fingerprint == without


def test_a_file_that_lacks_weights_of_the_network_is_refused(tmp_path: Path) -> None:
    save_folder("t5", tmp_path / "t5")
    T5EncoderModel.from_pretrained(tmp_path / "t5").save_pretrained(tmp_path / "t5")
    with pytest.raises(InputError, match=r"no weights for \d+ tensors .*'decoder\..*another class \(T5EncoderModel\)"):
        load_backbone(str(tmp_path / "t5"))
    save_folder("llama", tmp_path / "llama")
    config = json.loads((tmp_path / "llama" / "config.json").read_text())
    (tmp_path / "llama" / "config.json").write_text(json.dumps({**config, "vocab_size": 21}))
    with pytest.raises(InputError, match="No backbone can be loaded from the folder"):
        load_backbone(str(tmp_path / "llama"))
