"""A self-contained HTML page: sections of prose, facts, tables and pictures, readable without a network."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path, PurePath
from urllib.parse import quote

from polyray.files import make_folders, write_file
from polyray.reports.embedding import embedded, is_picture
from polyray.reports.page_style import STYLE


@dataclass(frozen=True, kw_only=True)
class Links:
    """Links to files beside the page: (text, path relative to the page's folder) each."""

    links: Sequence[tuple[str, PurePath]]

    def __post_init__(self) -> None:
        """Check the paths.

        Raises:
            ValueError: one is absolute.
        """
        for _, path in self.links:
            if path.is_absolute():
                raise ValueError(f"A link leads from the page's folder, found {path}.")


Cell = str | int | float | Links | None


@dataclass(frozen=True, kw_only=True)
class Prose:
    """Plain text; an empty line begins a new paragraph."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and their values, in order; `meanings`: a line on some of them, by name."""

    facts: Mapping[str, Cell]
    meanings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A header and rows of the same length; numbers stand at the right, floats with four digits, None is empty."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def __post_init__(self) -> None:
        """Check the length of the rows.

        Raises:
            ValueError: a row has another number of cells than the header.
        """
        for number, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise ValueError(f"Row {number} has {len(row)} cells, the header has {len(self.header)}.")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture (`figure.to_svg`) and its caption, which a screen reader reads aloud."""

    svg: str
    caption: str

    def __post_init__(self) -> None:
        """Check the picture.

        Raises:
            ValueError: not one <svg> element, or one that holds a script.
        """
        if not is_picture(self.svg):
            raise ValueError("A picture must be one <svg> element without scripts, as to_svg makes it.")


@dataclass(frozen=True, kw_only=True)
class Film:
    """A moving picture as the bytes of a GIF, and its caption, which a screen reader reads aloud."""

    gif: bytes
    caption: str

    def __post_init__(self) -> None:
        """Check the format of the film.

        Raises:
            ValueError: the bytes are no GIF.
        """
        if not self.gif.startswith((b"GIF87a", b"GIF89a")):
            raise ValueError("A film must be the bytes of a GIF.")


@dataclass(frozen=True, kw_only=True)
class Details:
    """Blocks that are folded until the reader opens them."""

    summary: str
    blocks: Sequence["Block"]


Block = Prose | Facts | Table | Picture | Film | Details


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, which the contents list, and the blocks under it."""

    heading: str
    blocks: Sequence[Block]


def write_page(path: Path, title: str, sections: Sequence[Section], *, refresh: int | None = None) -> None:
    """Write the page to `path`; a reader sees the old file or the whole new one.

    Args:
        refresh: seconds after which a browser reads the file again; None: never.

    Raises:
        StorageError: the folder cannot be written.
    """
    make_folders(path.parent)
    write_file(path, page(title, sections, refresh=refresh))


def page(title: str, sections: Sequence[Section], *, refresh: int | None = None) -> str:
    """The page as HTML that loads nothing, runs no script and follows the reader's light or dark mode."""
    links = "\n".join(f'<li><a href="#s{n}">{escape(section.heading)}</a></li>' for n, section in enumerate(sections))
    bodies = "\n".join(
        f'<section id="s{n}">\n<h2>{escape(section.heading)}</h2>\n{_blocks(section.blocks, f"s{n}")}\n</section>'
        for n, section in enumerate(sections)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
{_refreshing(refresh)}<title>{escape(title)}</title>
<style>
{STYLE}</style>
</head>
<body>
<nav aria-label="Contents"><p>{escape(title)}</p>
<ul>
{links}
</ul></nav>
<main>
<h1>{escape(title)}</h1>
{bodies}
</main>
</body>
</html>
"""


def _refreshing(seconds: int | None) -> str:
    return f'<meta http-equiv="refresh" content="{seconds}">\n' if seconds is not None else ""


def _blocks(blocks: Sequence[Block], name: str) -> str:
    """HTML of the blocks; the ids inside begin with `name` and the block's number."""
    return "\n".join(_block(block, f"{name}-{number}") for number, block in enumerate(blocks))


def _block(block: Block, name: str) -> str:
    """HTML of one block; `name` begins the ids inside."""
    match block:
        case Prose(text=text):
            paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text)]
            return "\n".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs if paragraph)
        case Facts():
            return _facts(block)
        case Table():
            return _table(block)
        case Picture(svg=svg, caption=caption):
            return (
                f'<figure><div class="scroll">{embedded(svg, name, caption)}</div>'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
        case Film(gif=gif, caption=caption):
            source = f"data:image/gif;base64,{b64encode(gif).decode()}"
            return (
                f'<figure><img src="{source}" alt="{escape(caption)}">'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
        case Details(summary=summary, blocks=inner):
            return f"<details><summary>{escape(summary)}</summary>\n{_blocks(inner, name)}\n</details>"


def _facts(block: Facts) -> str:
    """HTML of names and values; a meaning stands small behind the value."""
    small = {name: f" <small>{escape(meaning)}</small>" for name, meaning in block.meanings.items()}
    pairs = "\n".join(
        f"<dt>{escape(name)}</dt><dd>{_text(value)}{small.get(name, '')}</dd>" for name, value in block.facts.items()
    )
    return f"<dl>\n{pairs}\n</dl>"


def _table(table: Table) -> str:
    """HTML of a table; a column of numbers stands at the right."""
    columns = [[row[n] for row in table.rows] for n in range(len(table.header))]
    numeric = [any(map(_is_number, column)) and all(c is None or _is_number(c) for c in column) for column in columns]
    kinds = [' class="number"' if right else "" for right in numeric]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, table.header, strict=True))
    rows = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{_text(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in table.rows
    )
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>"
    return f'<div class="scroll"><table>{caption}{body}</table></div>'


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _text(cell: Cell) -> str:
    """`cell` as HTML text, floats with four digits."""
    if cell is None:
        return ""
    if isinstance(cell, Links):  # "./" keeps a colon in the first name from being read as a scheme
        return ", ".join(f'<a href="./{quote(path.as_posix())}">{escape(text)}</a>' for text, path in cell.links)
    return f"{cell:.4g}" if isinstance(cell, float) else escape(str(cell))
