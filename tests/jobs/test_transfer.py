"""Cross-lingual transfer from one config: what is trained once, what goes on, and what the table says."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from crash_scenarios import a_plain_report
from in_process import run_here
from rich.console import Console
from tuning_cases import TAGS, write_names

from polyray.cluster import tasks as cluster_tasks
from polyray.cluster.launch import run_in
from polyray.config import load_config
from polyray.errors import InputError, Interrupted
from polyray.jobs.transfer import JOB, Config, check, outline
from polyray.reports.sections.transfer import density as density_section
from polyray.reports.sections.transfer import section as transfer_section
from polyray.reuse import Shelf, reusing
from polyray.runs.folder import RunFolder
from polyray.runs.store.fetching import fetch
from polyray.runs.store.working import working_copy
from polyray.skills.skill import load_card
from polyray.training.skill_source import SkillSource
from polyray.training.transfer.leaks import leaks
from polyray.training.transfer.plan import trainings_of

QUIET = Console(quiet=True)
TINY = (
    "suite=conll", "source=eng", "targets={swa: swa, hau: hau}", "languages.source=eng", "task.training.steps=2",
    "task.training.lr=1e-2", "task.training.batch=4", "languages.training.steps=1", "languages.training.batch=2",
    "languages.text.max_input=16", "languages.head_steps=1", "resamples=20", "methods=[full, lora, lottery_ticket]",
    "task.each.lora={method.rank: 2}", "languages.each.lottery_ticket={method.k: 300}",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _shelf() -> Iterator[None]:
    """Load backbone and suites once."""
    with reusing(Shelf()):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "text").mkdir()
    for seed, language in enumerate(("eng", "swa", "hau")):
        write_names(folder / "tags", language, seed)
        draw = random.Random(seed)
        lines = [" ".join(draw.choice(list(TAGS)) for _ in range(5)) for _ in range(20)]
        (folder / "text" / f"{language}.txt").write_text("\n".join(lines) + "\n")
    return folder


def transfer(out: Path, data: Path, *more: str) -> dict[str, Any]:
    """The metrics of the tiny transfer, in this process."""
    overrides = [*TINY, f"tasks.path={data / 'tags'}", f"languages.path={data / 'text'}", *more]
    return run_here("transfer", out, *overrides).metrics


@pytest.mark.processes  # a dozen trainings
def test_a_transfer_trains_each_skill_once_and_scores_every_language(data: Path, tmp_path: Path) -> None:
    metrics = transfer(tmp_path / "run", data)
    rows = metrics["rows"]
    assert list(rows) == ["full", "lora", "lottery_ticket", "lottery_ticket + language"]
    trainings = tmp_path / "run" / "trainings"
    languages = {f"language-lottery_ticket-{name}" for name in ("eng", "swa", "hau")}
    tasks = {f"task-{name}-0" for name in ("full", "lora", "lottery_ticket", "lottery_ticket_+_language")}
    assert {path.name for path in trainings.iterdir()} == {"head", *languages, *tasks}
    ticket = load_card(trainings / "task-lottery_ticket-0" / "skills" / "eng")
    assert (
        "full" not in (trainings / "task-lottery_ticket-0" / "metrics.jsonl").read_text()
    )  # full's changes were taken
    composed = load_card(trainings / "task-lottery_ticket_+_language-0" / "skills" / "eng")
    swahili = load_card(trainings / "language-lottery_ticket-swa" / "skills" / "swa")
    assert [base.name for base in composed.base] == ["eng"] and ticket.base == () and swahili.options["entries"] == 300
    last = rows["lottery_ticket + language"]
    assert list(last["retention"]) == ["swa", "hau"] and metrics["tasks"] == last["tasks"]
    assert last["gain"]["mean"] == pytest.approx(last["mean"] - rows["full"]["mean"]) and "gain" not in rows["full"]
    for row in rows.values():
        assert 0 <= row["low"] <= row["high"] <= 1 and list(row["tasks"]) == ["swa", "hau"]
    scored = json.loads((tmp_path / "run" / "trainings" / "task-full-0" / "result.json").read_text())["metrics"]
    assert rows["full"]["source"] == pytest.approx(scored["mean"])

    page = transfer_section(tmp_path / "run")
    assert page is not None and len(page.blocks) == 3 and density_section(tmp_path / "run") is None
    assert "lottery_ticket + language" in str(page.blocks) and "[" in str(page.blocks[1])

    before = {path: path.read_bytes() for path in (tmp_path / "run" / "scores").iterdir()}
    (tmp_path / "run" / "result.json").unlink()
    shutil.rmtree(trainings / "language-lottery_ticket-hau")
    next(path for path in before if path.name.endswith("-swa.json")).unlink()
    assert transfer(tmp_path / "run", data) == metrics
    assert {path: path.read_bytes() for path in before} == before

    assert transfer(tmp_path / "again", data, f"library={trainings}") == metrics
    assert not (tmp_path / "again" / "trainings").exists()


class Elsewhere:
    """A cluster of other nodes."""

    inside = False

    def start(self) -> None:
        """It is there."""


@pytest.mark.processes  # half a dozen trainings
def test_a_transfer_behind_a_url_goes_on_in_another_working_copy(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ("methods=[full]", "task.each={}", "targets={swa: swa}")
    n_left = [3]  # pieces of work until the run is stopped
    seen = []

    def one_by_one(work: Any, pieces: Any, **_: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, piece in enumerate(pieces):
            if not n_left[0]:
                raise Interrupted("as asked")
            n_left[0] -= 1
            seen.append(piece.piece)
            yield index, work(piece)

    def start() -> dict[str, Any]:
        overrides = [*TINY, f"tasks.path={data / 'tags'}", f"languages.path={data / 'text'}", *more]
        with monkeypatch.context() as patches, working_copy("memory://transfer/run", print) as copy, a_plain_report():
            patches.setattr(cluster_tasks, "run_tasks", one_by_one)
            for name in ("put", "get"):
                patches.setattr(ray, name, lambda content: content)
            config = load_config(Config, overrides=overrides)
            folder = RunFolder(path=copy.folder, job="transfer", config=config, address=None, store=copy)
            return run_in(folder, JOB, QUIET, cluster=Elsewhere()).metrics

    with pytest.raises(Interrupted):
        start()
    n_left[0] = 99
    metrics = start()
    assert len(seen) == 5 + 1 + 2  # head, two languages, two tasks; one cell without languages and two above them
    assert metrics == transfer(tmp_path / "run", data, *more)
    fetch("memory://transfer/run", tmp_path / "fetched", print)
    composed = tmp_path / "fetched" / "trainings" / "task-lottery_ticket_+_language-0" / "skills" / "eng"
    assert SkillSource.of(composed).load(["eng"]).router.n_skills == 1  # the skill beneath is where its card says


def test_one_full_fine_tuning_is_enough_for_all_densities(data: Path, tmp_path: Path) -> None:
    more = ("study=density", "densities=[0.01, 0.5]", "methods=[random]", "composed={}")
    metrics = transfer(tmp_path / "run", data, *more)
    assert list(metrics["rows"]) == ["lottery_ticket 0.01", "lottery_ticket 0.5", "random 0.01", "random 0.5"]
    names = {path.name for path in (tmp_path / "run" / "trainings").iterdir()}
    assert names == {"task-full-0", *(f"task-{row.replace(' ', '_')}-0" for row in metrics["rows"])}
    assert metrics["rows"]["random 0.5"]["density"] == 0.5
    page = density_section(tmp_path / "run")
    assert page is not None and "trained entries, %" in str(page.blocks)
    (tmp_path / "run" / "result.json").unlink()
    scored = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "scores").iterdir()}
    assert transfer(tmp_path / "run", data, *more) == metrics
    assert {path: path.stat().st_mtime_ns for path in scored} == scored  # nothing was scored again
    library = f"library={tmp_path / 'run' / 'trainings'}"
    assert transfer(tmp_path / "again", data, *more, library) == metrics
    assert not (tmp_path / "again" / "trainings").exists()


def test_a_forecast_measures_one_training_of_each_sort(data: Path) -> None:
    overrides = [*TINY, f"tasks.path={data / 'tags'}", f"languages.path={data / 'text'}", "seeds=[0, 1]"]
    work = outline(load_config(Config, overrides=overrides))
    assert {portion.about: len(portion.configs) for portion in work.portions} == {
        "language, head": 1, "language, lottery_ticket": 3, "task, full": 2, "task, lora": 2, "task, lottery_ticket": 2,
        "task, lottery_ticket above a language": 2,
    }  # fmt: skip
    levels = {portion.about: portion.levels for portion in work.portions}
    assert levels["language, head"] == (0,) and levels["language, lottery_ticket"] == (1, 1, 1)
    assert levels["task, lottery_ticket"] == (1, 1) and levels["task, lottery_ticket above a language"] == (2, 2)
    assert work.job.workload is not None
    steps = {p.about: work.job.workload.amounts(p.configs[0], 1).steps for p in work.portions}
    assert steps["task, lottery_ticket"] == 1 + 2  # full's changes are taken, for which one update stands
    assert steps["task, lottery_ticket above a language"] == 4
    # 4 test sentences of each of 3 tasks: three rows at once, and one over each of three languages, the source's twice
    assert (work.cells, work.scored) == (2 * (3 + 3), 2 * (3 * 12 + 4 + 8 + 8))


def test_mistakes_are_found_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    write_names(tmp_path / "tags", "eng")
    (tmp_path / "tags" / "swa").mkdir()
    (tmp_path / "tags" / "swa" / "test.txt").write_text("Ada B-ORG\n")
    mistakes = {
        "source=english": "'english' matches no task .* Did you mean 'eng'",
        "targets={swa: swahili, hau: hau}": "swahili",
        "languages.path=": "Composition needs texts",
        f"tasks.path={tmp_path / 'tags'}": "'hau' matches no task|have different labels",
        "task.text.max_input=4": "longer than text.max_input=4",
        "methods=[lottery]": "Did you mean 'lottery_ticket'",
        "task.each={lora: {method.k: 3}}": "method.k .* is not read with method.kind=lora",
    }
    for override, message in mistakes.items():
        with pytest.raises(InputError, match=message):
            transfer(tmp_path / "run", data, override)
        assert not (tmp_path / "run").exists(), override


def test_the_config_in_the_page_on_one_s_own_language_is_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-language.md").read_text(encoding="utf-8")
    (tmp_path / "luo.yaml").write_text(page.partition("```yaml\n")[2].partition("```")[0])
    config = load_config(Config, tmp_path / "luo.yaml")
    trainings = trainings_of(config)
    assert list(trainings) == [
        "head", "language-lottery_ticket-eng", "language-lottery_ticket-luo", "task-full-0",
        "task-lottery_ticket_+_language-0",
    ]  # fmt: skip
    assert trainings["language-lottery_ticket-luo"].fields["method.density"] == 0.04
    assert all(path in page for path in ("task-lottery_ticket_+_language-0/skills/english", "ticket-luo/skills/luo"))


def test_test_sentences_in_the_texts_are_counted(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    overrides = [*TINY, f"tasks.path={tmp_path}/data/tags", f"languages.path={tmp_path}/data/text"]
    recipe = load_config(Config, overrides=overrides)
    assert leaks(recipe, check(recipe)) == ""
    tests = (tmp_path / "data" / "tags" / "swa" / "test.txt").read_text().split("\n\n")
    words = " ".join(line.split()[0] for line in tests[0].splitlines())
    texts = tmp_path / "data" / "text" / "swa.txt"
    texts.write_text(f"{words}\n" + texts.read_text())
    with reusing(Shelf()):
        assert leaks(recipe, check(recipe)).startswith("1 of 4 test sentences of 'swa' stand")


@pytest.mark.slow
def test_adapters_of_languages_are_swapped_under_a_task_s_adapter(data: Path, tmp_path: Path) -> None:
    more = ("methods=[bottleneck]", "composed={bottleneck: mad_x}", "task.each.bottleneck={method.rank: 4}")
    metrics = transfer(tmp_path / "run", data, *more, "languages.each={}", "task.each.lora={}")
    assert list(metrics["rows"]) == ["bottleneck", "bottleneck + language"]
    skill = tmp_path / "run" / "trainings" / "task-bottleneck_+_language-0" / "skills"
    (card,) = [load_card(path) for path in skill.iterdir()]
    assert (card.kind, card.base[0].name) == ("bottleneck", "eng")
    assert len(list((tmp_path / "run" / "scores").glob("*language*"))) == 3
