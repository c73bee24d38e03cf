"""A report is composed from the files of a run folder alone, each section from those that it knows."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyray.analysis.allocation import analyse
from polyray.envs.levels import EXPERT
from polyray.errors import InputError
from polyray.reports.page import Block, Details, Facts, Film, Picture, Prose, Section, Table
from polyray.reports.report import write_report
from polyray.reports.sections import SECTIONS
from polyray.runs.allocation import load_allocation, save_allocation
from polyray.runs.result import write_result
from polyray.runs.run import Run

GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"
CELLS = torch.tensor([[[0.9, 0.1], [0.8, 0.3], [0.1, 0.7]], [[0.9, 0.2], [0.6, 0.4], [0.2, 0.9]]])  # [tables 2, 3, 2]
SECONDS = {"iteration": 4.0, "environment": 1.0, "inference": 0.5, "learning": 2.0, "other": 0.5}


def new_run(out: Path, job: str, metrics: Mapping[str, Any] | None = None, config: str = "") -> Path:
    """A run folder, with a result if `metrics` are there."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(f"# job: {job}\n{config}")
    if metrics is not None:
        write_result(out, job, "done", 12.5, metrics, ["skills"])
    return out


def language_run(out: Path) -> Path:
    metrics = {"mean": 0.5, "tasks": {"a": {"EM": 0.25, "n": 4}, "b": {"ACC": 0.75}, "c": {"EM": 0.5}},
               "recovery": {"ami": 0.5}}  # fmt: skip
    new_run(out, "polytropon", metrics, "training:\n  steps: 8\n  seed: 0\n")
    for step in (4, 8):
        Run(out).report(step, {"loss": 8 / step}, tokens_per_second=100.0)
    save_allocation(out, CELLS, ["site 0", "site 1"], ["a", "b", "c"])
    return out


def agent_run(out: Path) -> Path:
    levels = ("GoToObj", "GoTo", "GoToLocal")
    assert all(level in EXPERT for level in levels)
    scores = {level: {"success": 0.5, "return": 0.4, "length": 20.0} for level in levels}
    metrics = {
        "mean": 0.5, "tasks": scores, "parameters": {"backbone": 10, "skills": 20, "routing": 3},
        "cloning": {"episodes": 16, "failures": 2, "losses": [2.0, 1.0, 0.5]},
        "training": {"frames": 500, "episodes": 40, "runners": {"lost": 1, "restarted": 2}},
    }  # fmt: skip
    new_run(out, "babyai", metrics, "training:\n  window: 1000\n")
    run = Run(out).phase("training")
    for step in (1, 2):
        tasks = {level: {"success": step / 4 if level != "GoTo" else None} for level in levels}
        line = {"episodes": 20 * step, "success": step / 4, "tasks": tasks}
        run.report(step, line, frames_now=step * 100, seconds=SECONDS)
    run.report(3, {"runners": {"lost": 3}})  # nobody came back
    save_allocation(out, CELLS, ["site 0", "site 1"], levels)
    (out / "videos").mkdir()
    for name in ("GoTo-1", "GoToObj-0", "GoTo-0"):
        (out / "videos" / f"{name}.gif").write_bytes(GIF)
    return out


def comparison_run(out: Path) -> Path:
    """Two routers on one task, and a third that the paper has no name for."""
    scores = {"own": [0.5, 0.7], "polytropon": [0.8, 0.9], "shared": [0.4, 0.6]}
    kinds = {}
    for kind, (first, second) in scores.items():
        mean, deviation = (first + second) / 2, abs(second - first) / 2
        kinds[kind] = {"mean": mean, "tasks": {"t": {"EM": mean, "std": deviation, "scores": [first, second]}}}
    best = kinds["polytropon"]
    new_run(out, "compare", {"mean": best["mean"], "tasks": best["tasks"], "kinds": kinds})
    for kind in kinds:
        language_run(out / kind)
    return out


def section(name: str, run: Path) -> Section:
    built = SECTIONS[name](run)
    assert built is not None, name
    return built


def blocks(blocks: Sequence[Block], kind: type[Any]) -> list[Any]:
    """All blocks of one kind, also those that are folded."""
    inner = [x for block in blocks if isinstance(block, Details) for x in blocks_of(block)]
    return [block for block in [*blocks, *inner] if isinstance(block, kind)]


def blocks_of(details: Details) -> Sequence[Block]:
    return details.blocks


def pictures(built: Section) -> list[Picture]:
    return blocks(built.blocks, Picture)


def table(built: Section) -> Table:
    (only,) = blocks(built.blocks, Table)
    assert isinstance(only, Table)
    return only


LEARNED = ["allocation", "hierarchy", "subsets", "site_by_site"]


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda out: new_run(out, "polytropon"), ["about"]),
        (language_run, ["scores", "loss_curves", *LEARNED, "about"]),
        (agent_run, ["success", "success_curves", "time_shares", *LEARNED, "films", "about"]),
        (comparison_run, ["few_shot", "differences", "loss_curves", *LEARNED, "about"]),
    ],
)
def test_a_page_shows_what_the_files_hold_and_nothing_else_and_is_composed_again_byte_for_byte(
    build: Callable[[Path], Path], names: list[str], tmp_path: Path
) -> None:
    run = build(tmp_path / "my run")
    sections = {name: built for name, compose in SECTIONS.items() if (built := compose(run)) is not None}
    assert list(sections) == names
    page = write_report(run)
    first = page.read_bytes()
    page.unlink()
    assert write_report(run).read_bytes() == first
    headings = [text.partition("<")[0] for text in first.decode().split("<h2>")[1:]]
    assert headings == [built.heading for built in sections.values()]
    job = (run / "config.yaml").read_text().split()[2]
    assert f"<title>{job}: my run</title>" in first.decode()


def test_a_folder_without_a_run_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        write_report(tmp_path)
    (tmp_path / "config.yaml").write_text("steps: 3\n")
    with pytest.raises(InputError, match="does not begin with '# job:'"):
        write_report(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_scores_are_each_tasks_own_metric_in_percent(tmp_path: Path) -> None:
    rows = table(section("scores", language_run(tmp_path))).rows
    assert rows == [["a", "EM", 25.0, "n 4"], ["b", "ACC", 75.0, ""], ["c", "EM", 50.0, ""], ["mean", "", 50.0, ""]]


def test_success_of_agents_is_a_table_of_levels(tmp_path: Path) -> None:
    rows = table(section("success", agent_run(tmp_path))).rows
    assert rows[0] == ["GoToObj", 50.0, 0.4, 20.0] and rows[-1] == ["mean", 50.0, None, None]


def test_routers_stand_side_by_side_in_the_papers_order(tmp_path: Path) -> None:
    shown = table(section("few_shot", comparison_run(tmp_path)))
    assert list(shown.header) == ["task", "metric", "SHARED", "SKILLED", "own"]
    assert shown.rows == [["t", "EM", "50.0 ± 10.0", "85.0 ± 5.0", "60.0 ± 10.0"], ["mean", "", "50.0", "85.0", "60.0"]]
    captions = [picture.caption for picture in pictures(section("differences", tmp_path))]
    assert captions == ["SKILLED minus SHARED.", "own minus SHARED."]


def test_methods_of_an_adaptation_stand_side_by_side_in_their_own_order(tmp_path: Path) -> None:
    tasks = {"t": {"EM": 0.5, "std": 0.0, "scores": [0.5]}}
    methods = {name: {"mean": 0.5, "tasks": tasks} for name in ("skills", "average")}
    run = new_run(tmp_path, "adapt", {"mean": 0.5, "tasks": tasks, "methods": methods})
    assert list(table(section("few_shot", run)).header) == ["task", "metric", "skills", "average"]
    assert SECTIONS["differences"](run) is None and SECTIONS["scores"](run) is None


def test_the_loss_of_a_training_and_of_those_inside_it_is_drawn(tmp_path: Path) -> None:
    (single,) = pictures(section("loss_curves", language_run(tmp_path / "one")))
    assert "SHARED" not in single.svg
    (many,) = pictures(section("loss_curves", comparison_run(tmp_path / "many")))
    assert [many.svg.find(f">{name}<") > 0 for name in ("SHARED", "SKILLED", "own", "loss")] == [
        True,
        True,
        True,
        False,
    ]


def test_success_is_drawn_against_episodes_for_the_mean_and_every_level(tmp_path: Path) -> None:
    built = section("success_curves", agent_run(tmp_path))
    (picture,) = pictures(built)
    assert all(f">{name}<" in picture.svg for name in ("mean", "GoToObj", "GoTo", "GoToLocal"))
    assert "last 1,000 episodes; the dashed line is 99%" in picture.caption


def test_time_is_shared_out_among_the_parts_of_an_iteration(tmp_path: Path) -> None:
    built = section("time_shares", agent_run(tmp_path))
    assert table(built).rows == [["environment", 25.0], ["inference", 12.5], ["learning", 50.0], ["other", 12.5]]
    facts = blocks(built.blocks, Facts)[0].facts
    assert facts == {
        "frames": 500, "episodes": 40, "frames per second": 300 / 8.0, "parameters, backbone": 10,
        "parameters, skills": 20, "parameters, routing": 3, "rollouts that did not come back": 1,
        "runners that were started again": 2,
    }  # fmt: skip
    assert "16 demonstrations of the bot were imitated (loss 2.000 to 0.500); it failed in 2." in (
        blocks(built.blocks, Prose)[0].text
    )


def test_an_agent_that_imitated_nobody_says_nothing_of_it(tmp_path: Path) -> None:
    agent_run(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    result["metrics"]["cloning"] = {}
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "progress.jsonl").unlink()
    built = section("time_shares", tmp_path)
    assert blocks(built.blocks, Prose) == [] == blocks(built.blocks, Table)
    assert blocks(built.blocks, Facts)[0].facts["frames per second"] is None


def test_an_allocation_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    assert load_allocation(tmp_path) is None
    save_allocation(tmp_path, CELLS, ["site 0", "site 1"], ["a", "b", "c"])
    allocation = load_allocation(tmp_path)
    assert allocation is not None and allocation.n_skills == 2
    assert np.array_equal(allocation.probabilities, CELLS.double().numpy())
    assert (allocation.tables, allocation.tasks) == (("site 0", "site 1"), ("a", "b", "c"))


def test_an_allocation_is_measured_and_drawn(tmp_path: Path) -> None:
    built = section("allocation", language_run(tmp_path))
    facts = blocks(built.blocks, Facts)[0].facts
    assert facts == {**analyse(CELLS.double().numpy()).metrics(), "ami": 0.5}
    assert blocks(built.blocks, Facts)[0].meanings.keys() == facts.keys()  # each is explained
    assert len(pictures(built)) == 1
    groups, sites = blocks(section("subsets", tmp_path).blocks, Table)
    assert groups.rows == [["group 1", "a, b", 2], ["group 2", "c", 1]]
    assert sites.rows == [["site 0 to site 1 (2 sites)", "0", "a, b"], ["site 0 to site 1 (2 sites)", "1", "c"]]
    assert len(pictures(section("hierarchy", tmp_path))) == 2
    (maps,) = pictures(section("site_by_site", tmp_path))
    assert ">site 0<" in maps.svg and ">site 1<" in maps.svg


def test_tasks_that_agree_site_by_site_are_grouped_where_means_over_sites_say_nothing(tmp_path: Path) -> None:
    # a and b use one skill, c and d another, and at each of eight sites other ones: every mean over sites is 1/4
    run, names = new_run(tmp_path, "polytropon"), [f"model.encoder.layers.{n}.feed_forward.output" for n in range(8)]
    cells = torch.full((8, 4, 4), 0.1)
    for site in range(8):
        cells[site, :2, site % 4] = cells[site, 2:, (site + 1) % 4] = 0.7
    save_allocation(run, cells, names, ["a", "b", "c", "d"])
    groups, sites = blocks(section("subsets", run).blocks, Table)
    assert groups.rows == [["group 1", "a, b", 2], ["group 2", "c, d", 2]]
    assert sites.rows[:3] == [[names[0], "0", "a, b"], [names[0], "1", "c, d"], [names[1], "1", "a, b"]]
    page = write_report(run).read_text(encoding="utf-8").partition("<main>")[2]
    assert "group 1  (2)" in page and "{}" not in page  # in the tree
    assert all(f">…{n}.feed_forward.output<" in page for n in range(8))  # in the maps


def test_a_page_tells_when_how_and_with_which_seed_it_was_run(tmp_path: Path) -> None:
    run = language_run(tmp_path)
    starts = [{"time": "2026-11-26T10:00:00+00:00", "command": "polyray run polytropon a=1"},
              {"time": "2026-11-27T10:00:00+00:00", "command": "polyray run polytropon --out here"}]  # fmt: skip
    (run / "starts.jsonl").write_text("".join(json.dumps(start) + "\n" for start in starts))
    facts = blocks(section("about", run).blocks, Facts)[0].facts
    assert facts["started"] == starts[0]["time"] and facts["started again"] == starts[1]["time"]
    assert (facts["command"], facts["training.seed"]) == (starts[1]["command"], "0")


def test_levels_that_the_experts_know_are_shown_beside_the_experts_allocation(tmp_path: Path) -> None:
    captions = [picture.caption for picture in pictures(section("allocation", agent_run(tmp_path)))]
    assert len(captions) == 2 and captions[1].startswith("The experts' allocation")


@pytest.mark.parametrize(("tables", "tasks", "skills"), [(2, 1, 2), (2, 3, 1)])
def test_one_task_or_one_skill_has_measures_only(tables: int, tasks: int, skills: int, tmp_path: Path) -> None:
    run = new_run(tmp_path, "polytropon")
    cells = torch.rand(tables, tasks, skills)
    save_allocation(run, cells, [f"site {n}" for n in range(tables)], [f"task {n}" for n in range(tasks)])
    assert pictures(section("allocation", run)) == []
    assert SECTIONS["hierarchy"](run) is None and SECTIONS["subsets"](run) is None
    assert (SECTIONS["site_by_site"](run) is None) == (skills == 1)


def test_one_table_for_all_sites_is_not_shown_site_by_site(tmp_path: Path) -> None:
    run = new_run(tmp_path, "polytropon")
    save_allocation(run, CELLS[:1], ["backbone"], ["a", "b", "c"])
    assert SECTIONS["site_by_site"](run) is None and SECTIONS["hierarchy"](run) is not None


def test_a_comparison_shows_the_allocation_of_polytropon(tmp_path: Path) -> None:
    comparison_run(tmp_path)
    facts = blocks(section("allocation", tmp_path).blocks, Facts)[0].facts
    assert facts["ami"] == 0.5  # from the result in polytropon/


def test_films_stand_level_by_level(tmp_path: Path) -> None:
    built = section("films", agent_run(tmp_path))
    levels = {block.summary: len(block.blocks) for block in blocks(built.blocks, Details)}
    assert levels == {"GoTo": 2, "GoToObj": 1}
    films = blocks(built.blocks, Film)
    assert [film.caption for film in films] == ["GoTo: GoTo-0.gif", "GoTo: GoTo-1.gif", "GoToObj: GoToObj-0.gif"]


def test_a_run_that_has_not_ended_says_so_and_shows_its_config(tmp_path: Path) -> None:
    run = new_run(tmp_path, "polytropon", config="training:\n  steps: 8\nmodules: {}\n")
    facts, config = (block.facts for block in blocks(section("about", run).blocks, Facts))
    assert facts == {"job": "polytropon", "status": "not ended yet"}
    assert config == {"training.steps": "8", "modules": "{}"}
    write_result(run, "polytropon", "failed", 1.0, {})
    facts = blocks(section("about", run).blocks, Facts)[0].facts
    assert (facts["status"], facts["seconds, over all starts"]) == ("failed", 1.0) and "torch" in facts
