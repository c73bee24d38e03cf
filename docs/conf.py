"""Settings of `make docs`: the Markdown pages, and an API reference from the docstrings."""

import inspect
import sys
from pathlib import Path
from typing import Any

from sphinx.util import logging

import polyray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.docstrings import as_restructured_text

logger = logging.getLogger(__name__)

project = "Polyray"
author = "The Polyray authors"
copyright = "The Polyray authors, Apache-2.0"  # noqa: A001
version = release = polyray.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/**.md", "api/*.rst"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"Polyray {release}"

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True

CONTENTS = """
```{toctree}
:hidden:
:glob:

docs/*
docs/clusters/*
docs/jobs/*
CONTRIBUTING
CHANGELOG
api/polyray
```
"""


def setup(app: Any) -> None:
    """Connect to Sphinx: docstrings as above, and the contents behind the README, which GitHub shows without them."""

    def process(_app: Any, _what: str, name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        try:
            lines[:] = as_restructured_text(lines)
        except ValueError as error:
            logger.warning("%s: %s", name, error)

    def skip_imported(app: Any, _what: str, _name: str, member: Any, skip: bool, _options: Any) -> bool:
        module = app.env.current_document.autodoc_module
        return skip or ((inspect.isclass(member) or inspect.isroutine(member)) and member.__module__ != module)

    def append_contents(_app: Any, page: str, source: list[str]) -> None:
        if page == root_doc:
            source[0] += CONTENTS

    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", skip_imported)
    app.connect("source-read", append_contents)
