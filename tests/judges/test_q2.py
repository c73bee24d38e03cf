"""Q2: its score against the released procedure, one response after the other, and its networks against single calls."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from judge_cases import LABELS, WORDS, save_classifier, save_reader, save_writer
from transformers import AutoModelForQuestionAnswering, AutoModelForSeq2SeqLM, AutoTokenizer

from polyray.errors import InputError
from polyray.judges.q2.grammar import PhraseRules, SpacyGrammar
from polyray.judges.q2.networks import Entailment, Label, Q2Options, QuestionWriter, Reader
from polyray.judges.q2.score import Judges, Pairs, clean, q2_scores, word_f1

RESPONSES = [
    "The hotel has free wifi and the lobby has a bar, with tea", "I like the pool", "Yes", "Parking: pounds, not euros",
]  # fmt: skip
KNOWLEDGE = ["Wifi is free.", "There is no pool.", "Breakfast is served.", "Parking: ten euros", "The bar is new."]


def chance(*key: str) -> random.Random:
    return random.Random("|".join(key))


def ask(pairs: Pairs) -> list[list[str]]:
    return [
        [f"{chance(span, text).choice(['what is', 'do you know'])} {n} {span}?" for n in range(3)]
        for span, text in pairs
    ]


def answer(pairs: Pairs) -> list[str | None]:
    """Often the last word of the question, as if it were the span; else other words of the text, or nothing."""
    answers = []
    for question, text in pairs:
        draw = chance(question, text)
        span = question.rstrip("?").split(maxsplit=3)[-1]
        answers.append(draw.choice([span, f"the {span}.", None, "", " ".join(draw.choices(text.split(), k=2))]))
    return answers


def compare(pairs: Pairs) -> list[Label]:
    labels: list[Label] = ["entailment", "neutral", "contradiction"]
    return [chance(*pair).choice(labels) for pair in pairs]


def released(response: str, knowledge: str, keep_personal: bool) -> tuple[float, float, int]:
    """Q2 with and without entailment as pipeline/run_pipeline.py and run_nli.py compute it (single questions)."""
    scores, with_nli = [], []
    for span in PhraseRules().spans(response):
        for question in ask([(span, response)])[0]:
            if not keep_personal and PhraseRules().is_personal(question):
                continue
            (predicted,) = answer([(question, response)])
            if predicted is None or clean(predicted) != clean(span):
                continue
            (reply,) = answer([(question, knowledge)])
            f1 = word_f1(span, reply) if reply is not None else 0.0
            nli = f1
            if 0 <= f1 < 1 and reply:
                label = compare([(question + " " + reply + ".", question + " " + span + ".")])[0]
                nli = {"entailment": 1.0, "contradiction": 0.0, "neutral": f1}[label]
            scores.append(f1)
            with_nli.append(nli)
            break
    if not scores:
        whole = {"entailment": 1.0, "contradiction": 0.0, "neutral": 0.5}[
            compare([(knowledge.lower(), response.lower())])[0]
        ]
        return whole, whole, 0
    return sum(with_nli) / len(scores), sum(scores) / len(scores), len(scores)


@pytest.mark.parametrize("keep_personal", [False, True])
def test_scores_equal_those_of_the_released_procedure(keep_personal: bool) -> None:
    judges = Judges(grammar=PhraseRules(), ask=ask, answer=answer, compare=compare)
    pairs = [(response, knowledge) for response in RESPONSES for knowledge in KNOWLEDGE]
    left, right = ([pair[side] for pair in pairs] for side in range(2))
    scores = q2_scores(left, right, judges, keep_personal=keep_personal)
    expected = [released(*pair, keep_personal) for pair in pairs]
    for score, slow in zip(scores, expected, strict=True):
        assert (score.q2, score.overlap, score.n_questions) == pytest.approx(slow)
    assert len({score.n_questions for score in scores}) > 2 and any(score.q2 != score.overlap for score in scores)


def test_one_response_by_hand() -> None:
    # spans: hotel, free wifi. "hotel" gets no valid question; "free wifi" is asked for and answered by "wifi": F1 2/3,
    # which the entailment raises to 1
    def one(pairs: Pairs) -> list[list[str]]:
        return [[f"what is {span}"] for span, _ in pairs]

    def read(pairs: Pairs) -> list[str | None]:
        return [
            None if "hotel" in question else "The free wifi" if "costs" in text else "wifi" for question, text in pairs
        ]

    seen: list[tuple[str, str]] = []

    def entails(pairs: Pairs) -> list[Label]:
        seen.extend(pairs)
        return ["entailment"] * len(pairs)

    judges = Judges(grammar=PhraseRules(), ask=one, answer=read, compare=entails)
    (score,) = q2_scores(["The hotel costs more, it has free wifi"], ["There is wifi"], judges, keep_personal=False)
    assert (score.q2, score.overlap, score.n_questions) == pytest.approx((1.0, 2 / 3, 1))
    assert seen == [("what is free wifi wifi.", "what is free wifi free wifi.")]


def test_an_answer_of_the_same_words_needs_no_comparison() -> None:
    def never(pairs: Pairs) -> list[Label]:
        assert not pairs
        return []

    judges = Judges(
        grammar=PhraseRules(), ask=lambda pairs: [["what?"] for _ in pairs], compare=never,
        answer=lambda pairs: ["The wifi!" if text == "free" else "wifi" for _, text in pairs],
    )  # fmt: skip
    (score,) = q2_scores(["wifi"], ["free"], judges, keep_personal=True)
    assert (score.q2, score.overlap, score.n_questions) == (1.0, 1.0, 1)


def test_spans_are_runs_of_content_words_each_once() -> None:
    text = "The Ashley Hotel can't have free wi-fi, but ashley hotel guests' tea costs 3.50 there, and I like it."
    assert PhraseRules().spans(text) == [
        "Ashley Hotel",
        "free wi",
        "fi",
        "ashley hotel guests",
        "tea costs 3.50",
        "like",
    ]
    assert PhraseRules().spans("Wifi, wifi and WIFI\u2019s speed!") == ["Wifi", "speed"]
    assert [PhraseRules().is_personal(text) for text in ("Do you know?", "What is your name", "Who is he?")] == [
        True, True, False,
    ]  # fmt: skip


def test_words_are_compared_without_case_punctuation_and_little_words() -> None:
    assert clean("In  the Lobby, our Bar!") == "lobby bar"
    assert word_f1("the free wifi", "wifi free of charge") == pytest.approx(2 * 2 / (2 + 4)) and word_f1("a", "") == 0


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Q2Options:
    folder = tmp_path_factory.mktemp("q2")
    return Q2Options(
        questions=str(save_writer(folder / "writer")), answers=str(save_reader(folder / "reader")),
        entailment=str(save_classifier(folder / "entailment")), n_questions=2, max_question=8, batch=2,
    )  # fmt: skip


PAIRS = [
    ("free wifi", "the hotel has free wifi"),
    ("pool", "no pool"),
    ("lobby", "the lobby is in the hotel . yes it is"),
]


def single(model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    with torch.no_grad():
        return model(**tokenizer(*texts, return_tensors="pt"))


def test_questions_of_a_batch_are_those_of_single_prompts(options: Q2Options) -> None:
    model, tokenizer = (x.from_pretrained(options.questions) for x in (AutoModelForSeq2SeqLM, AutoTokenizer))
    expected = []
    for span, text in PAIRS:
        tokens = tokenizer(f"answer: {span}  context: {text}", return_tensors="pt")
        written = model.eval().generate(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], max_length=8, num_beams=2,
            num_return_sequences=2, no_repeat_ngram_size=3, early_stopping=True,
        )  # fmt: skip
        expected.append(tokenizer.batch_decode(written, skip_special_tokens=True))
    assert QuestionWriter(options)(PAIRS) == expected and any(all(some) for some in expected)


def test_answers_of_a_batch_are_those_of_single_pairs(options: Q2Options) -> None:
    model, tokenizer = (x.from_pretrained(options.answers) for x in (AutoModelForQuestionAnswering, AutoTokenizer))
    pairs = [*PAIRS, *((text, span) for span, text in PAIRS), ("what is", "yes"), ("no", "it is not free")]
    pairs += [(" ".join(WORDS[:n]), " ".join(WORDS[n:])) for n in range(1, 20, 2)]
    pairs += [(WORDS[n], WORDS[-n]) for n in range(1, 20)]
    expected: list[str | None] = []
    for pair in pairs:
        output, ids = single(model.eval(), tokenizer, pair), tokenizer(*pair)["input_ids"]
        first, last = int(output.start_logits.argmax()), int(output.end_logits.argmax())
        words = list(map(str, tokenizer.convert_ids_to_tokens(ids[first : last + 1])))
        expected.append(" ".join(word for word in words if not word.startswith("[")) if first else None)
    reader = Reader(options.model_copy(update={"batch": len(pairs)}))  # so that short pairs are padded
    assert reader(pairs) == expected and len(set(expected)) > 2


def test_labels_are_found_by_their_names(options: Q2Options, tmp_path: Path) -> None:
    turned = {number: str(label).upper() for number, label in LABELS.items()}
    labels = Entailment(options)(PAIRS)
    again = Entailment(options.model_copy(update={"entailment": str(save_classifier(tmp_path / "upper", turned))}))(
        PAIRS
    )
    assert labels == again and set(labels) <= set(LABELS.values())
    numbered = save_classifier(tmp_path / "numbered", {n: f"LABEL_{n}" for n in range(3)})
    with pytest.raises(InputError, match="expected the labels entailment, neutral, contradiction .* LABEL_0"):
        Entailment(options.model_copy(update={"entailment": str(numbered)}))


def test_a_network_of_another_kind_and_a_missing_spacy_are_refused(options: Q2Options) -> None:
    with pytest.raises(InputError, match="lacks 2 tensors of a network of AutoModelForQuestionAnswering"):
        Reader(options.model_copy(update={"answers": options.entailment}))
    with pytest.raises(InputError, match="spacy"):
        SpacyGrammar("nowhere")


def test_spans_of_spacy_are_its_entities_and_then_its_other_noun_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    def spans(*texts: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(text=text) for text in texts]

    class Document(list[SimpleNamespace]):
        """Tokens, in which the stand-in for a parser marks the first word as subject or possessive."""

        ents, noun_chunks = spans("Ashley", "ten"), spans("I", "ashley", "the free wifi")

    def pipeline(text: str) -> Document:
        first, role = text.split()[0], "poss" if text.startswith(("My", "Your")) else "nsubj"
        return Document([SimpleNamespace(text=first, dep_=role), SimpleNamespace(text="you", dep_="dobj")])

    parts = {
        "pipe_names": ["tagger", "parser", "ner"],
        "meta": {"lang": "en", "name": "x", "version": "3.8", "more": 0},
    }
    loaded = SimpleNamespace(load=lambda folder: type("Pipeline", (), {**parts, "__call__": staticmethod(pipeline)})())
    monkeypatch.setitem(sys.modules, "spacy", loaded)
    grammar = SpacyGrammar("folder")
    assert grammar.spans("any text") == ["Ashley", "ten", "the free wifi"]
    assert [grammar.is_personal(text) for text in ("I like it", "You do", "My room", "Who told you", "Its pool")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert grammar.record == {"lang": "en", "name": "x", "version": "3.8"}
    parts["pipe_names"] = ["ner"]
    with pytest.raises(InputError, match="lacks parser, by which Q2 finds spans"):
        SpacyGrammar("folder")
