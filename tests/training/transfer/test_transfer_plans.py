"""Which skills each study of a transfer trains, from which earlier ones, and what is scored; nothing is trained."""

from pathlib import Path

import pytest

from polyray.config import load_config
from polyray.errors import InputError
from polyray.training.transfer.cells import SCORES, Cell
from polyray.training.transfer.merge_plan import MergedCell, cells, subsets
from polyray.training.transfer.merge_plan import trainings_of as trainings_of_merging
from polyray.training.transfer.plan import levels, trainings_of
from polyray.training.transfer.recipe import TransferRecipe

LANGUAGES = ("suite=conll", "source=eng", "targets={swa: swa}", "languages.source=eng", "languages.path=texts")
MERGING = ("study=merge", "suite=conll", "methods=[full, lottery_ticket]", "merge.counts=[2, 5]", "merge.orders=2")
TASKS = ("first", "second", "third")


def recipe(*overrides: str) -> TransferRecipe:
    return load_config(TransferRecipe, overrides=overrides)


def needs(asked: TransferRecipe) -> dict[str, tuple[str, ...]]:
    return {name: training.needs for name, training in trainings_of(asked).items()}


def test_tickets_of_all_densities_take_the_changes_of_one_full_fine_tuning() -> None:
    density = ("study=density", "densities=[0.1, 0.5]", "methods=[random]")
    assert needs(recipe(*LANGUAGES, *density, "composed={}")) == {
        "task-full-0": (), "task-lottery_ticket_0.1-0": ("task-full-0",), "task-lottery_ticket_0.5-0": ("task-full-0",),
        "task-random_0.1-0": (), "task-random_0.5-0": (),
    }  # fmt: skip
    english, above = "language-lottery_ticket-eng", "task-full_+_language-0"
    composed = trainings_of(recipe(*LANGUAGES, *density, "composed={lottery_ticket: lottery_ticket}"))
    assert composed[above].needs == (english,)
    assert composed["task-lottery_ticket_0.1-0"].needs == (english, above)
    assert composed["task-lottery_ticket_0.1-0"].fields["method.density"] == 0.1
    assert composed["task-random_0.5-0"].needs == (english,)
    assert [[training.name for training in level] for level in levels(composed)][:2] == [
        [english, "language-lottery_ticket-swa"], [above, "task-random_0.1-0", "task-random_0.5-0"]
    ]  # fmt: skip


def test_a_ticket_without_languages_takes_the_changes_of_the_row_full_if_it_may() -> None:
    two = (*LANGUAGES, "methods=[full, lottery_ticket]", "seeds=[3, 5]", "languages.head_steps=7")
    shared = trainings_of(recipe(*two))
    assert {name: shared[name].ranking for name in shared if "task-lottery_ticket" in name} == {
        "task-lottery_ticket-3": "task-full-3", "task-lottery_ticket-5": "task-full-5",
        "task-lottery_ticket_+_language-3": "", "task-lottery_ticket_+_language-5": "",
    }  # fmt: skip
    assert shared["head"].fields["training.steps"] == 7 and shared["language-lottery_ticket-swa"].heads == "head"
    assert shared["task-full-5"].fields["training.seed"] == 5 and shared["task-full-5"].fields["name"] == "eng"
    assert shared["language-lottery_ticket-swa"].fields["method.heads"] == "frozen"
    assert needs(recipe(*two, "share=false"))["task-lottery_ticket-3"] == ()
    alone = needs(recipe(*LANGUAGES, "methods=[lottery_ticket]", "composed={}"))
    assert alone == {"task-lottery_ticket-0": ()}


def test_merging_trains_each_task_by_each_method_and_scores_its_skills_alone_and_merged() -> None:
    asked = recipe(*MERGING)
    trainings = trainings_of_merging(asked, TASKS)
    assert {name: training.needs for name, training in trainings.items()} == {
        f"skill-{task}-{method}-0": ((f"skill-{task}-full-0",) if method == "lottery_ticket" else ())
        for task in TASKS
        for method in ("full", "lottery_ticket")
    }
    assert trainings["skill-second-full-0"].fields["tasks.include"] == ("second",)
    sets = subsets(asked, TASKS)
    assert [(order, len(tasks)) for order, tasks in sets] == [(0, 2), (1, 2), (0, 3)] and sets[-1][1] == TASKS
    assert sets[0] != sets[1] == subsets(asked, TASKS)[1]

    folders = {name: Path("run", "trainings", name) for name in trainings}
    scored = cells(asked, TASKS, Path("run"), folders, untrained=True)
    assert len(scored) == 1 + 2 * 3 + 2 * 2 * 3 and len({cell.file for cell in scored}) == len(scored)
    untrained, alone, pair, whole = scored[0], scored[1], scored[7], scored[9]
    assert untrained.file == Path("run", SCORES, "untrained.json") and untrained.skills == ()
    assert (alone.method, alone.tasks, alone.file.name) == ("full", ("first",), "full-alone-0-first.json")
    assert pair.skills == tuple(folders[f"skill-{task}-full-0"] for task in sets[0][1])
    assert (whole.file.name, pair.file.name) == ("full-overlap-0-3-0.json", "full-overlap-0-2-0.json")
    assert moved_back(whole) == whole and cells(asked, TASKS, Path("run"), folders, untrained=False) == scored[1:]


def moved_back(cell: MergedCell) -> MergedCell:
    elsewhere = cell.moved(Path("elsewhere"))
    assert elsewhere.file == Path("elsewhere", SCORES, cell.file.name)
    assert elsewhere.skills[0] == Path("elsewhere", "trainings", "skill-first-full-0")
    return elsewhere.moved(Path("run"))


def test_a_cell_that_moves_finds_the_skills_that_have_moved_and_those_that_have_not() -> None:
    cell = Cell(
        recipe=recipe(*LANGUAGES), out=Path("run"), row="full", seed=0, language="swa", tasks=("eng",),
        skill=Path("run", "trainings", "a"), base=(Path("run", "trainings", "b"), Path("library", "c")),
    )  # fmt: skip
    moved = cell.moved(Path("elsewhere"))
    assert moved.skills == (*(Path("elsewhere", "trainings", name) for name in "ab"), Path("library", "c"))
    assert moved.file == Path("elsewhere", SCORES, "full-0-swa.json") and moved.moved(Path("run")) == cell


def test_fields_of_other_studies_and_unknown_methods_are_refused() -> None:
    mistakes = {
        (*LANGUAGES, "study=density", "share=false"): "share .* study=density shares one full fine-tuning in any case",
        (*LANGUAGES, "study=density", "merge.orders=2"): r"merge.orders .* study is density",
        (*LANGUAGES, "densities=[0.5]"): "densities .* study is matrix",
        (*LANGUAGES, "merge.counts=[2]"): r"merge.counts .* study is matrix",
        (*MERGING, "source=first"): "source .* study=merge has no languages",
        (*MERGING, "languages.path=texts"): "languages.path .* study=merge has no languages",
        (*LANGUAGES, "composed={lora: mad}"): "Did you mean 'mad_x'",
        (*LANGUAGES, "composed={lorra: lora}"): "Did you mean 'lora'",
        (*LANGUAGES, "methods=[lotery_ticket]"): "Did you mean 'lottery_ticket'",
        (*LANGUAGES, "task.each={lorra: {method.rank: 2}}"): "Did you mean 'lora'",
        (*LANGUAGES, "seeds=[1, 1]"): "different numbers",
    }
    for overrides, message in mistakes.items():
        with pytest.raises(InputError, match=message):
            recipe(*overrides)


def test_fields_of_a_first_phase_that_another_training_takes_the_place_of_are_refused() -> None:
    twice = (*MERGING, "task.each={lottery_ticket: {method.iterations: 2}}")
    trainings = trainings_of_merging(recipe(*twice), TASKS)
    trainings["skill-first-full-0"].check_ranking()
    with pytest.raises(InputError, match=r"skill-first-full-0 for its first phase \(see share\)\. method\.iterations"):
        trainings["skill-first-lottery_ticket-0"].check_ranking()
    for training in trainings_of_merging(recipe(*twice, "share=false"), TASKS).values():
        training.check_ranking()
