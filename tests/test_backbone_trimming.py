"""Trimmed backbones read given texts as the full ones do: the same pieces, the same outputs."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from backbone_cases import CLASSES, WORDS, save_folder
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from polyray.backbones import load_backbone
from polyray.backbones.trimming import trim
from polyray.backbones.trimming.pieces import NEEDED, characters, most_frequent, needed_pieces, restricted
from polyray.backbones.trimming.verification import check_outputs, outputs
from polyray.cli.app import main
from polyray.errors import InputError
from polyray.modules.changes import SparseChange
from polyray.skills.card import check_backbone
from polyray.skills.delta import fold
from polyray.skills.skill import load_skill, save_skill
from polyray.skills.sparse_delta import SparseDelta, sparse_skill
from polyray.skills.vocabulary import full_backbone, read_rows
from polyray.training.multitask import backbone_card

Model = dict[str, Any]


def strings(draw: random.Random, n: int, longest: int, letters: str = "abcd") -> list[str]:
    return sorted({"".join(draw.choices(letters, k=draw.randint(1, longest))) for _ in range(n)})


def unigram(draw: random.Random) -> Model:
    """Pieces with few different scores, so that many cuts are equally good, and no piece for some characters."""
    pieces = [
        ["<unk>", 0.0],
        *([piece, -float(draw.choice((1, 2, 3, 14, 60)))] for piece in strings(draw, 30, 4, "abcde")),
    ]
    return {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False}


def word_pieces(draw: random.Random) -> Model:
    """Pieces of which many words cannot be made, and beginnings that lead nowhere."""
    pieces = ["[UNK]", *strings(draw, 9, 3, "ab"), *(f"##{piece}" for piece in strings(draw, 3, 2, "ab"))]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    fields = {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9}
    return {"type": "WordPiece", "vocab": vocabulary, **fields}


def merges(draw: random.Random) -> Model:
    """Random merges, several of which may give one piece; the letter d has no piece; some mark the ends of words."""
    suffix = draw.choice(["", "</w>"])
    pairs: list[list[str]] = []
    pieces = ["<unk>", *(letter + end for end in ("", suffix) for letter in "abc")][: 7 if suffix else 4]
    while len(pairs) < 25:
        first, second = draw.choice(pieces[1:]), draw.choice(pieces[1:])
        if not (suffix and first.endswith(suffix)) and len(first + second) < 12 and [first, second] not in pairs:
            pairs.append([first, second])
            pieces += [first + second] * (first + second not in pieces)
    fields = {"unk_token": "<unk>", "fuse_unk": False, "byte_fallback": False, "ignore_merges": draw.random() < 0.3}
    fields |= {"dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": suffix or None}
    return {"type": "BPE", "vocab": {piece: n for n, piece in enumerate(pieces)}, "merges": pairs, **fields}


def words(draw: random.Random) -> Model:
    return {"type": "WordLevel", "vocab": {w: n for n, w in enumerate(["?", *strings(draw, 9, 2)])}, "unk_token": "?"}


MAKES: dict[str, Callable[[random.Random], Model]] = {
    "Unigram": unigram, "WordPiece": word_pieces, "BPE": merges, "WordLevel": words,
}  # fmt: skip


def loaded(model: Model) -> Tokenizer:
    return Tokenizer.from_str(json.dumps({"version": "1.0", "model": model}))


def test_a_tokenizer_with_fewer_pieces_cuts_the_texts_as_the_full_one() -> None:
    assert MAKES.keys() == NEEDED.keys()
    wrong, n_dropped = [], 0
    for make, build in MAKES.items():
        for seed in range(250):
            draw = random.Random(seed)
            model = build(draw)
            texts, full = strings(draw, 8, draw.choice([4, 12]), draw.choice(["ab", "abcde"])), loaded(model)
            unknown = model.get("unk_id", 0)
            cuts = {text: full.encode(text).ids for text in texts}
            unknown_words = [text for text, cut in cuts.items() if unknown in cut]
            extra = most_frequent(model, draw.choice([0, 3])) | (characters(model) if draw.random() < 0.3 else set())
            numbers = sorted(needed_pieces(model, {n for cut in cuts.values() for n in cut} | extra, unknown_words))
            trimmed = loaded(restricted(model, numbers))
            n_dropped += len(model["vocab"]) - len(numbers)
            differing = [t for t, cut in cuts.items() if [numbers[n] for n in trimmed.encode(t).ids] != cut]
            wrong += [f"{make} {seed}: {text}" for text in differing]
    assert not wrong, wrong[:20]
    assert n_dropped > 2000


def test_frequent_pieces_are_those_of_large_probability_or_at_the_beginning_and_characters_are_single() -> None:
    pieces = [["<unk>", 0.0], ["a", -3.0], ["ab", -1.0], ["<0x41>", -9.0]]
    likely: Model = {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": True}
    assert most_frequent(likely, 2) == {0, 2} and characters(likely) == {1, 3}
    assert needed_pieces(likely, {2}, []) == {0, 2, 3}
    ordered: Model = {"type": "WordPiece", "vocab": {"##a": 1, "[UNK]": 0, "abc": 2}, "continuing_subword_prefix": "##"}
    assert most_frequent(ordered, 2) == {0, 1} and characters(ordered) == {1}
    dropout = {"type": "BPE", "dropout": 0.1}
    refused: dict[str, Model] = {"Unigram, WordPiece, BPE": {"type": "Other"}, "dropout=0.1": dropout}
    for message, model in refused.items():
        with pytest.raises(InputError, match=message):
            needed_pieces({"vocab": {}, "merges": [], **model}, set(), [])


def command(capsys: pytest.CaptureFixture[str], full: Path, out: Path, text: Path, *options: str) -> dict[str, Any]:
    """The report of `polyray backbones trim`."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["backbones", "trim", str(full), "--text", str(text), "--out", str(out), "--json", *options])
    assert caught.value.code == 0
    printed = capsys.readouterr()
    assert "LOAD REPORT" not in printed.err  # of a pooler that a file lacks, which nobody reads
    report: dict[str, Any] = json.loads(printed.out)
    return report


def check_lifting(folder: Path) -> None:
    """A skill of the trimmed backbone, lifted by the command, computes the same on the full one."""
    trimmed, generator = load_backbone(str(folder / "out")), torch.Generator().manual_seed(0)
    changes = {}
    for name, parameter in trimmed.network.named_parameters():
        support = torch.rand(parameter.numel(), generator=generator).lt(0.2).nonzero().flatten().int()
        values = torch.randn(len(support), generator=generator)
        changes[name] = SparseChange(values=values, support=support, shape=tuple(parameter.shape))
    skill = sparse_skill(SparseDelta(changes=changes), name="skill", backbone=backbone_card(trimmed))
    save_skill(skill, folder / "skill")
    with pytest.raises(SystemExit) as caught:
        main(["skills", "lift", str(folder / "skill"), str(folder / "lifted"), "--to", str(folder / "full")])
    assert caught.value.code == 0
    full, lifted = load_backbone(str(folder / "full")), load_skill(folder / "lifted")
    check_backbone(lifted.card, full.fingerprint)
    rows = read_rows(folder / "out", skill.card.backbone.trimmed_from or pytest.fail("the card names no full backbone"))
    for backbone, on_it in ((trimmed, skill), (full, lifted)):
        fold(on_it, backbone.network)
    texts = [backbone.text.encode("w3 w5 w11") for backbone in (full, trimmed)]
    assert [int(rows[number]) for number in texts[1]] == texts[0]
    expected, actual = outputs(full, texts[:1], rows), outputs(trimmed, texts[1:], torch.arange(len(rows)))
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


OTHERS = ("bert", "gpt2", "llama")  # a bias of the output, a tied output, an untied one; BART has all but the last


def text_file(folder: Path) -> Path:
    file = folder / "text.txt"
    file.write_text("w3 w5 unheard\nw11\tw3\n")
    return file


@pytest.mark.parametrize("family", ["bart", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_a_trimmed_folder_has_the_outputs_of_the_full_one(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_folder(family, tmp_path / "full")
    text_file(tmp_path)
    report = command(capsys, tmp_path / "full", tmp_path / "out", tmp_path)  # of which it takes the text alone
    tokenizer, rows = AutoTokenizer.from_pretrained(tmp_path / "out"), [0, 1, 2, 3, 7, 9, 15]
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))) == [WORDS[row] for row in rows]
    assert (report["n_pieces"], report["n_full_pieces"], report["difference"]) == (7, 20, 0.0)
    backbone = load_backbone(str(tmp_path / "out"))
    full = full_backbone(tmp_path / "out")
    assert full is not None and full == backbone_card(backbone).trimmed_from
    assert full.fingerprint == load_backbone(str(tmp_path / "full")).fingerprint != backbone.fingerprint
    assert read_rows(tmp_path / "out", full).tolist() == rows
    networks = [CLASSES[family].from_pretrained(tmp_path / name) for name in ("full", "out")]
    ids = [torch.tensor([[1, 7, 15, 3, 2]]), torch.tensor([[1, 4, 6, 3, 2]])]
    logits = [network(input_ids=numbers).logits for network, numbers in zip(networks, ids, strict=True)]
    torch.testing.assert_close(logits[1], logits[0][..., rows], rtol=0, atol=1e-6)
    assert sum(p.numel() for p in networks[1].parameters()) == report["n_parameters"] < report["n_full_parameters"]
    check_lifting(tmp_path)
    if family == "bert":  # a trimmed folder that is trimmed again maps to the first one
        (tmp_path / "less.txt").write_text("w11\n")
        trim(str(tmp_path / "out"), [tmp_path / "less.txt"], tmp_path / "less")
        again = full_backbone(tmp_path / "less")
        assert again is not None and again.fingerprint == full.fingerprint
        assert read_rows(tmp_path / "less", again).tolist() == [0, 1, 2, 3, 15]


def test_what_cannot_be_trimmed_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_folder("bert", tmp_path / "full")
    text, out = text_file(tmp_path), tmp_path / "out"
    before = sorted(tmp_path.rglob("*"))
    for name, file, message in [
        ("tiny-encoder", text, "tiny-encoder reads bytes"),
        (str(tmp_path / "full"), tmp_path / "none.txt", "Cannot read .*none.txt"),
        (str(tmp_path / "none"), text, "No backbone can be loaded"),
        (str(tmp_path / "none"), tmp_path / "full", "full holds no files called"),
    ]:
        with pytest.raises(InputError, match=message):
            trim(name, [file], out)
    monkeypatch.setattr("polyray.backbones.trimming.backbone.select", lambda *arguments: [0, 1, 2, 3, 7, 15])
    with pytest.raises(InputError, match=r"it cuts 'w3 w5 unheard' into .*'w5'.*, the trimmed one into .*'<unk>'"):
        trim(str(tmp_path / "full"), [text], out)
    monkeypatch.undo()
    with pytest.raises(InputError, match="its outputs on 'b' differ by 5.0e-0[67]"):
        check_outputs([torch.tensor([4.0])] * 2, [torch.tensor([4.0]), torch.tensor([4.00002])], ["a", "b"])
    with pytest.raises(InputError, match="its outputs on 'a' differ by nan"):
        check_outputs([torch.ones(1)], [torch.tensor([torch.nan])], ["a"])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.data
def test_pretrained_networks_of_every_make_are_trimmed_bit_for_bit(
    pretrained: Callable[[str], Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (data / "text" / "hau.txt").read_text(encoding="utf-8").splitlines()[:200]
    (tmp_path / "text").write_text("\n".join(lines), encoding="utf-8")
    for name, share in (("minilm", 0.10), ("e5", 0.03), ("smollm2", 0.05)):
        options = ("--most-frequent", "500", "--keep-characters", "text")
        report = command(capsys, pretrained(name), tmp_path / name, tmp_path / "text", *options)
        assert report["difference"] == 0
        assert 500 < report["n_pieces"] < share * report["n_full_pieces"]
