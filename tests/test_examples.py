"""The examples run as they are, and print what they promise."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def numbers(pattern: str, output: str) -> list[float]:
    """The numbers that the group of a pattern matches, in the order of the output."""
    return [float(number) for number in re.findall(pattern, output, re.MULTILINE)]


def loss_falls_and_the_allocation_is_right(output: str) -> bool:
    first, *_, last = numbers(r"loss (\S+)", output)
    rows = {task: tuple(map(round, map(float, cells))) for task, *cells in map(str.split, output.splitlines()[-4:])}
    one_each = [sum(rows[task]) for task in ("neither", "first", "second")] == [1, 1, 1]
    union = tuple(a + b for a, b in zip(rows["first"], rows["second"], strict=True))
    return last < first / 20 and one_each and rows["both"] == union


def every_task_is_learned(output: str) -> bool:
    scores = numbers(r"EM (\S+)", output)
    return len(scores) == 2 and min(scores) >= 0.9


def logits_are_those_of_peft(output: str) -> bool:
    effects, differences = numbers(r"moves logits by (\S+);", output), numbers(r"to PEFT (\S+)", output)
    return len(effects) == len(differences) == 3 and min(effects) > 0.1 and max(differences) < 1e-5


def success_rises(output: str) -> bool:
    before, after = numbers(r"success (\S+) before", output), numbers(r"imitation, (\S+) after", output)
    return len(before) == len(after) == 2 and min(after) >= 0.9 > max(before)


def every_update_is_reported(output: str) -> bool:
    updates, rates = numbers(r"update (\S+)", output), numbers(r"success (\S+)", output)
    losses = numbers(r"value loss (\S+)", output)
    return updates == [1, 2, 3, 4] and all(0 <= rate <= 1 for rate in rates) and all(0 < loss < 1 for loss in losses)


def every_step_is_minigrids(output: str) -> bool:
    (equal,), (steps,), (solved,) = (numbers(form, output) for form in (r"^(\d+) of", r"of (\d+) s", r"; (\d+) ep"))
    return equal == steps == 300 and solved > 0


PROMISES: dict[str, Callable[[str], bool]] = {
    "agent": success_rises,
    "cleanrl_ppo": every_update_is_reported,
    "my_level": every_step_is_minigrids,
    "my_jsonl": every_task_is_learned,
    "peft_in_and_out": logits_are_those_of_peft,
    "plain_loop": loss_falls_and_the_allocation_is_right,
}


def test_every_example_has_a_promise() -> None:
    assert sorted(file.stem for file in EXAMPLES.glob("*.py")) == sorted(PROMISES)


@pytest.mark.processes
@pytest.mark.parametrize("name", PROMISES)
def test_an_example_does_what_it_promises(name: str, tmp_path: Path) -> None:
    if name == "peft_in_and_out":
        pytest.importorskip("peft", reason="the example needs PEFT: pip install polyray[peft]")
    arguments = [str(tmp_path)] if name == "agent" else []  # where its films go
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert PROMISES[name](done.stdout), done.stdout
