"""Pictures inside a page."""

import re
from html import escape

TAG = re.compile(r"<[^>]*>")
SCRIPT = re.compile(r"^<script|\son\w+\s*=", re.IGNORECASE)


def is_picture(svg: str) -> bool:
    """Whether a text is an <svg> element without scripts."""
    return svg.startswith("<svg") and not any(map(SCRIPT.search, TAG.findall(svg)))


def embedded(svg: str, name: str, caption: str) -> str:
    """The picture with `name` before its ids, since pictures that were made apart may have the same ids."""
    svg = TAG.sub(lambda tag: _renamed(tag.group(), name), svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)


def _renamed(tag: str, name: str) -> str:
    """`tag` with `name` before each id and each reference to one."""
    tag = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', tag)
    tag = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', tag)
    tag = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", tag)
    return re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", tag)  # HTML knows both namespaces
