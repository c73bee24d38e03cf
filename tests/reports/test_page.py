"""Pictures are repeatable and take any name literally; the page stands alone."""

import re
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from polyray.analysis.allocation import analyse, features, subsets
from polyray.analysis.hierarchy import hierarchy
from polyray.reports import (
    Details,
    Facts,
    Film,
    Picture,
    Prose,
    Section,
    Table,
    allocation_map,
    circular_dendrogram,
    delta_bars,
    dendrogram,
    learning_curves,
    method_bars,
    site_maps,
    to_svg,
    write_page,
)
from polyray.reports.figure import shortened
from polyray.reports.page import Block

NAMES = ["_hidden", "$a$_b", "<script>x</script>", "glue & cola", 'a "quoted" onload="x"', "plain", "under_score"]
CELLS = np.random.default_rng(3).random((4, 7, 5))
TREE = hierarchy(features(CELLS))
GROUPS = subsets(CELLS.mean(axis=0), NAMES)
SCORES = {name: 0.1 * place for place, name in enumerate(NAMES)}
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
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]


def test_a_dendrogram_of_equal_tasks_can_be_drawn() -> None:
    tree = hierarchy(np.ones((4, 2)))
    for draw in (dendrogram, circular_dendrogram):
        drawn = to_svg(draw(tree, list("abcd")))
        assert all(f">{name}<" in drawn or f"<!-- {name} -->" in drawn for name in "abcd")


def test_more_subsets_than_colours_share_one_grey() -> None:
    names = [f"t{number}" for number in range(32)]
    cells = np.array([[number >> bit & 1 for bit in range(5)] for number in range(32)], dtype=float)
    figure = circular_dendrogram(hierarchy(cells), names, subsets(cells, names))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 21 and labels[-1] == "other subsets  (12)"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: allocation_map(CELLS, NAMES[:3]),
        lambda: site_maps(analyse(CELLS), ["a"]),
        lambda: dendrogram(TREE, NAMES[:3]),
        lambda: dendrogram(TREE, NAMES, {(0,): NAMES[:3]}),
        lambda: learning_curves({}, y_label="loss"),
        lambda: learning_curves({"a": ([1], [])}, y_label="loss"),
        lambda: delta_bars({"a": 1.0}, {"b": 1.0}),
        lambda: method_bars({}, x_label="score"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw: Callable[[], Figure]) -> None:
    with pytest.raises(ValueError, match=r"names|nothing to draw|No subset|steps"):
        draw()


def test_a_long_name_keeps_both_its_ends() -> None:
    assert shortened("short") == "short"
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert len(shortened("x" * 99, 34)) == 34


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"


@pytest.fixture
def html(tmp_path: Path) -> str:
    svg = svg_of("circular_dendrogram")
    rows: list[tuple[str, float | None]] = [*SCORES.items(), ("none", None)]
    table = Table(header=["task", "score"], rows=rows)
    blocks: list[Block] = [
        Prose(text="One <b>\n\nTwo & three"),
        Facts(facts={"seed<": 0, "rate": 0.123456789, "on": True}),
        table,
        Picture(svg=svg, caption='a "tree" <i>'),
        Picture(svg=svg, caption="the same"),
        Film(gif=GIF, caption='an "episode"'),
        Details(summary="more <s>", blocks=[Prose(text="inside")]),
    ]
    path = tmp_path / "new" / "report.html"
    write_page(path, "Run <1>", [Section(heading="Tasks & skills", blocks=blocks)])
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_loads_nothing(html: str) -> None:
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert not re.search(r"https?://|@import|<script|<link|<i>|<s>|<b>", html)
    for tag, attributes in tags.found:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png", "data:image/gif")), tag


def test_every_id_of_the_page_is_unique_and_every_reference_meets_one(html: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', html) + re.findall(r"url\(#([^)]*)\)", html)) <= set(ids)


def test_the_page_says_what_it_was_given_escaped(html: str) -> None:
    assert "<title>Run &lt;1&gt;</title>" in html
    assert "<p>One &lt;b&gt;</p>\n<p>Two &amp; three</p>" in html
    assert "<dt>seed&lt;</dt><dd>0</dd>" in html and "<dd>0.1235</dd>" in html
    assert '<a href="#s0">Tasks &amp; skills</a>' in html
    assert "<td>&lt;script&gt;x&lt;/script&gt;</td>" in html
    assert f'src="data:image/gif;base64,{b64encode(GIF).decode()}" alt="an &quot;episode&quot;"' in html
    assert '<th scope="col" class="number">score</th>' in html and '<td class="number"></td>' in html
    assert 'aria-label="a &quot;tree&quot; &lt;i&gt;"' in html


def test_a_film_that_is_no_gif_is_refused() -> None:
    with pytest.raises(ValueError, match="GIF"):
        Film(gif=b"MZ", caption="")


def test_a_page_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(path, "one", [])
    write_page(path, "two", [])
    assert "<h1>two</h1>" in path.read_text(encoding="utf-8")
    with pytest.raises(UnicodeEncodeError):
        write_page(path, "\ud800", [])
    assert "<h1>two</h1>" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_parts_that_would_break_the_page_are_refused() -> None:
    with pytest.raises(ValueError, match="header has 2"):
        Table(header=["a", "b"], rows=[["x"]])
    for svg in ("<p>", "<svg><script/></svg>", '<svg onload="x"></svg>'):
        with pytest.raises(ValueError, match="svg"):
            Picture(svg=svg, caption="")
