"""Options that stand inside an input: "(A) red (B) green"."""

import re

_SPACED = re.compile(r"(?:^|(?<=\s))\(([A-Z])\)(?=\s)")
_CLOSE = re.compile(r"\(([A-Z])\)")


def inline_choices(text: str) -> tuple[str, ...] | None:
    """The options that `text` lists after (A), (B), ..., without repeats; None if it lists none.

    The longest list counts, of equally long ones the last; the last option ends at " [SEP] " or with the text.
    CrossFit writes all its multiple-choice tasks so: Ye et al. 2021 (arXiv:2104.08835), appendix A.
    """
    for pattern in (_SPACED, _CLOSE):
        marks = _longest_run(list(pattern.finditer(text)))
        if len(marks) > 1 or (marks and pattern is _CLOSE):
            ends = [mark.start() for mark in marks[1:]] + [len(text)]
            options = [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
            options[-1] = options[-1].partition(" [SEP] ")[0].strip()
            return tuple(dict.fromkeys(options)) if all(options) else None
    return None


def _longest_run(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """The longest A, B, C, ... among `marks`, the last of equally long ones."""
    best: list[re.Match[str]] = []
    for start, first in enumerate(marks):
        if first[1] != "A":
            continue
        run = [first]
        for mark in marks[start + 1 :]:
            if ord(mark[1]) == ord(run[-1][1]) + 1:
                run.append(mark)
        if len(run) >= len(best):
            best = run
    return best
