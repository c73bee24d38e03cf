"""Files that the documents name exist, and their Python runs."""

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import polyray
from polyray.config import Choice, Section, load_config
from polyray.jobs.table import JOBS

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / ".github").glob("*.md"))]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = "platform|jobs|envs|tune_spaces|tests|benchmarks|docs|examples"


def python_blocks() -> list[tuple[str, str]]:
    """The name (file:line) and the source of every Python block, blank lines before it so that tracebacks are right."""
    blocks = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            lines_before = text.count("\n", 0, match.start(1))
            blocks.append((f"{document.relative_to(ROOT)}:{lines_before + 1}", "\n" * lines_before + match[1]))
    return blocks


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ +(.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_blocks(document: Path) -> str:
    """The text of a document with its fenced blocks emptied; line numbers stay."""
    text = document.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", lambda block: "\n" * block[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("name", "source"), python_blocks())
def test_python_in_the_documents_runs(name: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(source, name.partition(":")[0], "exec"), {"__name__": "__main__"})


def test_links_between_documents_lead_somewhere() -> None:
    dead = []
    for document in {*GUIDES, *DOCUMENTS}:
        for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(document)):
            address, _, anchor = target.partition("#")
            if "://" in address:
                continue
            file = document.parent / address if address else document
            if not file.exists() or (anchor and anchor not in anchors(file)):
                dead.append(f"{document.relative_to(ROOT)} -> {target}")
    assert not dead, "\n".join(sorted(dead))


def test_files_that_the_documents_name_exist() -> None:
    absent = [
        f"{document.relative_to(ROOT)}: {name}"
        for document in {*GUIDES, *DOCUMENTS} - {ROOT / "CHANGELOG.md"}
        for name in re.findall(rf"`((?:{FOLDERS})/[\w/.-]*)`", without_blocks(document))
        if Path(name).stem not in ("x", "NAME", "__init__") and not (ROOT / name).exists()
    ]
    assert not absent, "\n".join(sorted(absent))


def test_modules_and_names_that_the_documents_name_exist() -> None:
    absent = [
        f"{document.relative_to(ROOT)}: {name}"
        for document in {*GUIDES, *DOCUMENTS} - {ROOT / "CHANGELOG.md"}
        for name in re.findall(r"`(polyray(?:\.[a-z_]+)+)`", without_blocks(document))
        if importlib.util.find_spec(name) is None and name.removeprefix("polyray.") not in dir(polyray)
    ]
    assert not absent, "\n".join(sorted(absent))


def test_tables_to_extend_stand_where_the_guide_says() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tables = re.findall(rf"`([A-Z_]+)` in `((?:{FOLDERS})/[\w/.]+\.py)`", guide)
    assert tables
    absent = []
    for table, file in tables:
        statements = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        targets = [statement.target for statement in statements if isinstance(statement, ast.AnnAssign)]
        if table not in [target.id for target in targets if isinstance(target, ast.Name)]:
            absent.append(f"{table} in {file}")
    assert not absent


def test_every_package_has_a_floor_in_the_guide() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    floors = guide[guide.index("## The floors") : guide.index("## How to add")]
    library = {path.stem for path in (ROOT / "platform" / "polyray").iterdir() if path.suffix in ("", ".py")}
    expected = (library | {"jobs", "envs", "tune_spaces"}) - {"__init__", "__main__", "__pycache__"}
    assert sorted(expected - set(re.findall(r"`(\w+)`", floors))) == []


def documented_defaults(document: Path) -> dict[str, str]:
    """Default of each field in a job's table of fields, as written; not of rows on whole sections."""
    table = document.read_text(encoding="utf-8").partition("| field | default |")[2].partition("\n\n")[0]
    defaults: dict[str, str] = {}
    for row in table.splitlines()[2:]:
        names, cell = (text.strip() for text in row.strip("|").split("|")[:2])
        fields, values = re.findall(r"`([\w.*]+)`", names), re.findall(r"`[^`]*`|[^\s,](?:[^\s]*[^\s,])?", cell)
        if cell and not re.search(r"\*|\bor\b", names):
            values = values * len(fields) if len(values) == 1 else values
            defaults |= dict(zip(fields, values, strict=True))
    return defaults


def default_of(config: Section, name: str) -> Any:
    """Default of a field; of a field that only another kind of a choice has, that kind's."""
    first, _, rest = name.partition(".")
    if first in type(config).model_fields:
        value = getattr(config, first)
        return default_of(value, rest) if rest else value
    assert isinstance(config, Choice), name
    entries = [config.options, *(entry.Options() for entry in config.table.values())]
    return next(getattr(options, first) for options in entries if first in type(options).model_fields)


def test_defaults_in_the_pages_of_the_jobs_are_those_of_the_code() -> None:
    wrong, compared = [], 0
    for name, job in JOBS.items():
        config = load_config(job.Config)
        for field, text in documented_defaults(ROOT / "docs" / "jobs" / f"{name}.md").items():
            value = default_of(config, field)
            value = list(value) if isinstance(value, tuple) else value
            empty = text in ("empty", "all") and not value
            plain = text.strip("`").replace(",", "") if text[0].isdigit() else text.strip("`")
            number = float(plain) if re.fullmatch(r"[\d.]+(e-?\d+)?", plain) else yaml.safe_load(plain)
            compared += 1
            if not empty and number != value:
                wrong.append(f"{name}: {field} is {value!r}, not {text}")
    assert not wrong, "\n".join(wrong)
    assert compared > 80


def test_the_version_to_cite_is_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == polyray.__version__
