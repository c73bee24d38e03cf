"""Pictures are repeatable, take any name literally and show the numbers that they are given."""

import re
from collections.abc import Callable
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polyray.analysis.allocation import analyse, features, subsets
from polyray.analysis.hierarchy import hierarchy
from polyray.reports.allocation_plots import allocation_map, site_maps
from polyray.reports.dendrograms import circular_dendrogram, dendrogram
from polyray.reports.figure import COLOURS, PALE, REST, colour, row_panels, to_svg
from polyray.reports.plots import delta_bars, learning_curves, method_bars
from polyray.reports.shortening import short_names, shortened

NAMES = ["_hidden", "$a$_b", "<script>x</script>", "glue & cola", 'a "quoted" onload="x"', "plain", "under_score"]
CELLS = np.random.default_rng(3).random((4, 7, 5))
TREE = hierarchy(features(CELLS))


def grouped(cells: np.ndarray, names: list[str]) -> dict[str, list[str]]:
    return {f"{{{', '.join(map(str, subset))}}}": tasks for subset, tasks in subsets(cells, names).items()}


GROUPS = grouped(CELLS.mean(axis=0), NAMES)
SCORES = {name: 0.1 * number for number, name in enumerate(NAMES)}
OTHERS = dict.fromkeys(NAMES, 0.3)

PICTURES: dict[str, Callable[[], Figure]] = {
    "allocation_map": lambda: allocation_map(CELLS, NAMES),
    "site_maps": lambda: site_maps(analyse(CELLS), ["_a", "$b$", "c<d", "e"]),
    "dendrogram": lambda: dendrogram(TREE, NAMES, GROUPS),
    "dendrogram without subsets": lambda: dendrogram(TREE, NAMES),
    "circular_dendrogram": lambda: circular_dendrogram(TREE, NAMES, GROUPS),
    "learning_curves": lambda: learning_curves(
        {name: ([0, 1, 2], [1.0, float("nan"), 0.5]) for name in NAMES}, y_label="loss_$x", log=True, target=0.7
    ),
    "delta_bars": lambda: delta_bars(SCORES, OTHERS),
    "method_bars": lambda: method_bars({"_shared": SCORES, "$p$": OTHERS}, x_label="score", errors={"_shared": OTHERS}),
}
ROWS_BY_TASK = ["allocation_map", "dendrogram", "circular_dendrogram", "delta_bars", "method_bars"]


@cache
def svg_of(name: str) -> str:
    return to_svg(PICTURES[name]())


def texts_of(name: str) -> set[str]:
    return {element.text for element in ElementTree.fromstring(svg_of(name)).iter() if element.text}


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_input_gives_the_same_bytes(name: str) -> None:
    figure = PICTURES[name]()
    first = to_svg(figure)
    assert to_svg(figure) == svg_of(name) == first
    ElementTree.fromstring(first)
    assert first.startswith("<svg") and "#000000" not in first and "<metadata" not in first


@pytest.mark.parametrize("name", ROWS_BY_TASK)
def test_every_task_is_named_as_it_is_written(name: str) -> None:
    assert set(NAMES) <= texts_of(name)


def test_names_that_matplotlib_would_leave_out_are_in_the_legend() -> None:
    assert set(NAMES) <= texts_of("learning_curves")


@pytest.mark.parametrize("n_tasks", [2, 54, 55, 160])
def test_no_task_is_lost_when_there_are_many(n_tasks: int) -> None:
    names = [f"task {number}" for number in range(n_tasks)]
    cells = np.random.default_rng(n_tasks).random((n_tasks, 3))
    figure = allocation_map(cells, names)
    written = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert [name for name in written if name.startswith("task")] == names
    drawn = np.concatenate([axes.get_images()[0].get_array() for axes in figure.axes if axes.get_images()])
    assert np.array_equal(drawn, cells)


def test_delta_bars_show_the_difference_largest_first() -> None:
    axes = delta_bars({"a": 0.5, "b": 0.9, "alone": 1.0, "nan": float("nan")}, {"a": 0.6, "b": 0.4, "nan": 0.1}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.5, -0.1])  # type: ignore[attr-defined]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [COLOURS[0], COLOURS[3]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]


def test_a_dendrogram_of_equal_tasks_can_be_drawn() -> None:
    tree = hierarchy(np.ones((4, 2)))
    for draw in (dendrogram, circular_dendrogram):
        drawn = to_svg(draw(tree, list("abcd")))
        assert all(f">{name}<" in drawn or f"<!-- {name} -->" in drawn for name in "abcd")


def test_more_subsets_than_colours_share_one_grey() -> None:
    names = [f"t{number}" for number in range(32)]
    cells = np.array([[number >> bit & 1 for bit in range(5)] for number in range(32)], dtype=float)
    figure = circular_dendrogram(hierarchy(cells), names, grouped(cells, names))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 21 and labels[-1] == "others  (12)"


def test_the_largest_subsets_have_the_colours() -> None:
    names = [f"t{number}" for number in range(22)]
    cells = np.eye(21)[[*range(21), 20]]  # 21 skills of one task each, but for the last one
    figure = circular_dendrogram(hierarchy(cells), names, grouped(cells, names))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-2:] == ["{20}  (2)", "others  (1)"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: allocation_map(CELLS, NAMES[:3]),
        lambda: site_maps(analyse(CELLS), ["a"]),
        lambda: dendrogram(TREE, NAMES[:3]),
        lambda: dendrogram(TREE, NAMES, {"{0}": NAMES[:3]}),
        lambda: learning_curves({}, y_label="loss"),
        lambda: learning_curves({"a": ([1], [])}, y_label="loss"),
        lambda: delta_bars({"a": 1.0}, {"b": 1.0}),
        lambda: method_bars({}, x_label="score"),
    ],
)
def test_a_picture_without_its_names_or_numbers_is_refused(draw: Callable[[], Figure]) -> None:
    with pytest.raises(ValueError, match=r"names|nothing to draw|No group|steps"):
        draw()


def test_a_long_name_keeps_both_its_ends() -> None:
    assert shortened("short") == "short"
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert len(shortened("x" * 99, 34)) == 34


def test_long_names_are_shortened_where_all_are_equal_and_stay_different() -> None:
    llama = [f"model.decoder.layers.{n}.self_attn.{x}_proj" for n in (0, 11) for x in "qv"]
    assert short_names(llama) == [f"…{n}.self_attn.{x}_proj" for n in (0, 11) for x in "qv"]
    t5 = [
        f"{side}coder.block.{n}.layer.{n % 2}.EncDecAttention.{x}"
        for side in ("en", "de")
        for n in (0, 23)
        for x in "qv"
    ]
    tasks = [f"a_task_of_a_very_long_name_with_number_{n}_among_its_many_other_words" for n in range(12)]
    unbroken = ["x" * 30 + str(n) + "y" * 30 for n in range(3)]
    for names in (llama, t5, tasks, unbroken):
        labels = short_names(names)
        assert len(set(labels)) == len(names) and max(map(len, labels)) <= 34
        for name, label in zip(names, labels, strict=True):
            numbers = [set(re.findall(r"\d+", text)) for text in (name, label)]
            assert numbers[0] == numbers[1], (name, label)
    assert short_names(["b", "a", "b"]) == ["b", "a", "b"] and short_names(["z" * 50]) == [shortened("z" * 50)]
    same_ends = ["q" * 40 + "a" + "r" * 40, "q" * 40 + "b" + "r" * 40]
    assert short_names(same_ends) == same_ends  # nothing shorter would tell them apart


def points(line: Line2D) -> tuple[list[float], list[float]]:
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def cells_of(axes: Axes) -> np.ndarray:
    return np.asarray(axes.get_images()[0].get_array())


def test_curves_are_the_steps_and_values_on_the_scale_that_is_asked_for() -> None:
    curves = {"a": ([1, 2], [0.5, 0.25]), "b": ([1, 3], [0.1, 0.2])}
    (axes,) = learning_curves(curves, y_label="loss", x_label="frames", log=True, target=0.3).axes
    lines = [points(line) for line in axes.lines]
    assert lines[:2] == [curves["a"], curves["b"]] and lines[2][1] == [0.3, 0.3]
    assert (axes.get_yscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "frames", "loss")
    (axes,) = learning_curves(curves, y_label="loss").axes
    assert len(axes.lines) == 2 and axes.get_yscale() == "linear"


def test_a_legend_names_several_curves_and_not_a_single_one() -> None:
    curves = {"a": ([1], [0.5]), "b": ([1], [0.25])}
    assert [text.get_text() for text in learning_curves(curves, y_label="").legends[0].get_texts()] == ["a", "b"]
    assert learning_curves({"a": curves["a"]}, y_label="").legends == []


def test_bars_of_methods_have_whiskers_of_their_errors() -> None:
    scores, errors = {"x": {"t": 0.5}, "y": {"t": 0.75, "u": 0.25}}, {"y": {"t": 0.125}}
    (axes,) = method_bars(scores, x_label="score", errors=errors).axes
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert widths == [0.5, pytest.approx(float("nan"), nan_ok=True), 0.75, 0.25]
    (whiskers,) = axes.collections
    ends = whiskers.get_segments()[0]  # type: ignore[attr-defined]
    assert ends[:, 0].tolist() == [0.625, 0.875]


@pytest.mark.parametrize(("n_rows", "rows"), [(54, [54]), (55, [28, 27]), (108, [54, 54]), (109, [37, 37, 35])])
def test_rows_are_shared_evenly_by_as_few_panels_as_hold_them(n_rows: int, rows: list[int]) -> None:
    _, panels = row_panels(n_rows, row_height=0.1)
    assert [len(members) for _, members in panels] == rows
    assert [row for _, members in panels for row in members] == list(range(n_rows))


def test_colours_come_before_their_pale_twins_and_repeat_after_twenty() -> None:
    assert [colour(0), colour(10), colour(20)] == [COLOURS[0], PALE[0], COLOURS[0]]


def test_maps_show_probabilities_from_zero_to_one() -> None:
    axes = allocation_map(CELLS, NAMES).axes[0]
    assert np.allclose(cells_of(axes), CELLS.mean(axis=0)) and axes.get_images()[0].get_clim() == (0.0, 1.0)
    analysis = analyse(CELLS)
    density, discreteness = (cells_of(axes) for axes in site_maps(analysis, list("abcd")).axes[:2])
    assert np.array_equal(density, analysis.density_by_skill.T)
    assert np.array_equal(discreteness, analysis.discreteness_by_skill.T)


def test_leaves_are_named_in_the_order_of_the_tree_and_branches_coloured_by_their_skills() -> None:
    # two tasks with skill 0, two with skill 1, named so that neighbours in the tree are no neighbours in the list
    names, cells = ["a0", "b1", "c0", "d1"], np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.0], [0.0, 0.9]])
    (axes,) = dendrogram(hierarchy(cells), names, grouped(cells, names)).axes
    leaves = [label.get_text() for label in axes.get_yticklabels()]
    assert {frozenset(leaves[:2]), frozenset(leaves[2:])} == {frozenset({"a0", "c0"}), frozenset({"b1", "d1"})}
    shade = {"0": COLOURS[0], "1": COLOURS[1]}
    dots = np.asarray(axes.collections[0].get_facecolor())
    assert [to_hex(tuple(dot)) for dot in dots] == [shade[name[1]] for name in leaves]
    distances = {line.get_color(): max(points(line)[0]) for line in axes.lines}
    assert distances.keys() == {*shade.values(), REST}
    assert all(distances[group] == pytest.approx(0.1) for group in shade.values()) and distances[REST] > 1.0


def test_names_around_a_circle_are_never_upside_down_and_branches_stay_inside() -> None:
    figure = circular_dendrogram(hierarchy(10 * CELLS.mean(axis=0)), NAMES)
    (axes,) = figure.axes
    turns = [(text.get_rotation() + 180.0) % 360.0 - 180.0 for text in axes.texts]
    assert len(turns) == len(NAMES) and all(-90.0 <= turn <= 90.0 for turn in turns)
    radii = [radius for line in axes.lines for radius in points(line)[1]]
    assert max(radii) == 1.0 and min(radii) == pytest.approx(0.05)
