"""Skills of languages and tasks from the command line: trained, put beneath each other, scored, used for new inputs."""

import json
from pathlib import Path

import pytest
from in_process import run_here
from rich.console import Console
from tuning_cases import TINY, write_names

from polyray.errors import InputError
from polyray.reports.sections.changes import section
from polyray.skills.skill import load_card
from polyray.training.prediction import predict

QUIET = Console(quiet=True)


@pytest.mark.processes  # three trainings and two evaluations
def test_a_task_is_learned_on_one_language_and_used_on_another(tmp_path: Path) -> None:
    texts, tags = tmp_path / "texts", tmp_path / "tags"
    texts.mkdir()
    for task, seed in (("eng", 0), ("swa", 1)):
        write_names(tags, task, seed)
        (texts / f"{task}.txt").write_text("".join(f"Ada sees Rome {task} {n}\n" for n in range(20)))
    tiny = [option for option in TINY if not option.startswith("suite")]
    language = [*tiny, "suite=text", f"tasks.path={texts}", "text.max_input=32", "method.k=500"]
    for task in ("eng", "swa"):
        run_here("ltsft", tmp_path / task, *language, f"tasks.include=[{task}]")
    english, swahili = (tmp_path / task / "skills" / task for task in ("eng", "swa"))
    suite = ["suite=conll", f"tasks.path={tags}"]
    trained = run_here(
        "ltsft", tmp_path / "task", *tiny, *suite, "tasks.include=[eng]", f"base=[{english}]", "name=ner"
    )
    skill = tmp_path / "task" / "skills" / "ner"
    card = load_card(skill)
    assert (
        card.base[0].path == "../../../eng/skills/eng" and card.options["entries"] > 0 and "untied" not in card.options
    )
    assert load_card(english).options == {"entries": 500, "untied": 1}
    scored = run_here("evaluate", tmp_path / "scores", *suite, f"skills={skill}", "score.tasks=[eng]").metrics
    assert scored["tasks"] == trained.metrics["tasks"]
    zero_shot = run_here("evaluate", tmp_path / "zero", *suite, f"skills={skill}", f"base=[{swahili}]").metrics
    assert list(zero_shot["tasks"]) == ["eng", "swa"]
    assert [len(tags) for tags in predict(skill, "eng", ["Ada sees Rome", "Bo walks"], base=[str(swahili)])] == [3, 2]
    page = section(tmp_path / "task")
    assert page is not None and "encoder.layer.1" in str(page.blocks) and len(page.blocks) == 2
    again = run_here("ltsft", tmp_path / "task", *tiny, *suite, "tasks.include=[eng]", f"base=[{english}]", "name=ner")
    assert again.metrics == json.loads(json.dumps(trained.metrics))
    with pytest.raises(InputError, match=r"No objective \(of a head\)|no head for the tags|lacks the head 'masked_lm'"):
        run_here("ltsft", tmp_path / "other", *language, "tasks.include=[swa]", f"heads={skill}")
    english.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="was trained on top of the skill 'eng', which is not at"):
        predict(skill, "eng", ["Ada"])


def test_mistakes_are_found_before_anything_starts(tmp_path: Path) -> None:
    write_names(tmp_path / "tags", "eng")
    tiny = [*TINY, f"tasks.path={tmp_path / 'tags'}"]
    mistakes = {
        "method.k=9999999": "only 148928 are eligible",
        "method.exclude=[lm_head]": "no parameter is called 'lm_head'",
        "base=[nowhere]": "nowhere holds no skill",
        "workers.n=3": "does not divide among workers.n=3",
        "method.kind=tickets": "Did you mean 'lottery_ticket'",
        "method.rank=3": "lora, bottleneck read it",
    }
    for override, message in mistakes.items():
        with pytest.raises(InputError, match=message):
            run_here("ltsft", tmp_path / "run", *tiny, override)
        assert not (tmp_path / "run").exists(), override
