"""The page stands alone, shows every text as it was written and is replaced as a whole."""

import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from polyray.analysis.hierarchy import hierarchy
from polyray.reports.dendrograms import circular_dendrogram
from polyray.reports.figure import to_svg
from polyray.reports.page import Block, Details, Facts, Film, Picture, Prose, Section, Table, page, write_page
from polyray.reports.page_style import STYLE

NAMES = ["_hidden", "$a$_b", "<script>x</script>", "glue & cola"]


class Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"


@pytest.fixture
def html(tmp_path: Path) -> str:
    svg = to_svg(circular_dendrogram(hierarchy(np.eye(4)), NAMES))
    rows = [*((name, 0.1 * number, True) for number, name in enumerate(NAMES)), ("none", None, False)]
    table = Table(header=["task", "score", "unseen"], rows=rows, caption="all <tasks>")
    blocks: list[Block] = [
        Prose(text="\n\nOne <b>\n \n\nTwo & three\n\n"),
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
    for tag, attributes in tags.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png", "data:image/gif")), tag


def test_every_id_of_the_page_is_unique_and_every_reference_meets_one(html: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', html) + re.findall(r"url\(#([^)]*)\)", html)) <= set(ids)


def test_the_page_says_what_it_was_given_escaped(html: str) -> None:
    assert "<title>Run &lt;1&gt;</title>" in html
    assert "\n<p>One &lt;b&gt;</p>\n<p>Two &amp; three</p>" in html
    assert "<dt>seed&lt;</dt><dd>0</dd>\n<dt>rate</dt><dd>0.1235</dd>\n<dt>on</dt><dd>True</dd>" in html
    assert '<a href="#s0">Tasks &amp; skills</a>' in html
    assert "<caption>all &lt;tasks&gt;</caption>" in html and "<td>&lt;script&gt;x&lt;/script&gt;</td>" in html
    assert f'src="data:image/gif;base64,{b64encode(GIF).decode()}" alt="an &quot;episode&quot;"' in html
    assert '<th scope="col" class="number">score</th>' in html and '<td class="number"></td><td>False</td>' in html
    assert 'aria-label="a &quot;tree&quot; &lt;i&gt;"' in html


def test_every_class_of_the_page_has_a_style(html: str) -> None:
    classes = set(re.findall(r'class="([^"]*)"', html))
    assert classes == {"number", "scroll"} and all(f".{name} {{" in STYLE for name in classes)


def test_empty_paragraphs_are_left_out() -> None:
    html = page("", [Section(heading="", blocks=[Prose(text="\n\n")])])
    assert "<p></p>\n<ul>" in html and html.count("<p>") == 1  # the title in the contents


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
