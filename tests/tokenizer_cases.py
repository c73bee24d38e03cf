"""Small tokenizers of the two common makes."""

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from polyray.backbones.pretrained_text import PretrainedText


def word_pieces() -> PretrainedText:
    """A tokenizer as BERT's: New and York are two and three pieces, [CLS] and [SEP] stand around a sentence."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "in", "Ne", "##w", "Y", "##or", "##k"]
    tokenizer = Tokenizer(models.WordPiece({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {f"{name.strip('[]').lower()}_token": name for name in names[:5]}
    return PretrainedText(PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special), "encoder")


def byte_pairs() -> PretrainedText:
    """A tokenizer as RoBERTa's: bytes with spaces before words, <s> and </s> around a sentence."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *alphabet, "Ġi", "Ġin"]
    tokenizer = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [("Ġ", "i"), ("Ġi", "n")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"}
    special |= {"bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}
    return PretrainedText(PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special), "encoder")
