"""One response of a dialogue as an example."""

from dataclasses import replace

from polyray.tasks.dialogue import DialogueExample, Turn

EXAMPLE = DialogueExample(
    task="inns", history=(Turn(speaker="user", text="Is there wifi?"),), knowledge=("Wifi is free.",),
    outputs=("Yes, it is free.", "Yes."), location="logs.json: dialogue 1",
)  # fmt: skip


def test_an_example_is_its_content_whatever_file_it_stands_in() -> None:
    assert EXAMPLE == replace(EXAMPLE, location="other.json: dialogue 9")
    assert hash(EXAMPLE) == hash(replace(EXAMPLE, location="other.json: dialogue 9"))
    assert len({EXAMPLE.line, *(replace(EXAMPLE, **change).line for change in CHANGES)}) == len(CHANGES) + 1
    assert EXAMPLE.record() == {
        "history": [{"speaker": "user", "text": "Is there wifi?"}], "knowledge": ["Wifi is free."],
        "outputs": ["Yes, it is free.", "Yes."],
    }  # fmt: skip
    assert EXAMPLE.target == "Yes, it is free."
    assert replace(EXAMPLE, outputs=()).target == ""


CHANGES = (
    {"history": ()}, {"knowledge": ()}, {"outputs": ()}, {"control": ("<high-prec>",)}, {"instruction": "Be brief."},
    {"history": (Turn(speaker="system", text="Is there wifi?"),)},
)  # fmt: skip
