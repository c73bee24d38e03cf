"""Grafana's dashboards: they ask for figures that there are, by labels that these have, in Grafana's own model."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from polyray.cli.app import main
from polyray.cluster.monitoring.figures import FIGURES

ENTRIES = {  # entries of a dashboard that Polyray's have, as Grafana's dashboard kind names them
    "uid", "title", "description", "tags", "schemaVersion", "version", "editable", "graphTooltip", "refresh", "time",
    "timezone", "annotations", "links", "templating", "panels",
}  # fmt: skip
PANEL = {"id", "type", "title", "description", "datasource", "gridPos", "fieldConfig", "options", "targets"}
VARIABLE = {
    "name", "label", "type", "datasource", "query", "refresh", "sort", "hide", "multi", "includeAll", "allValue",
    "current",
}  # fmt: skip
TARGET = {"datasource", "expr", "legendFormat", "refId", "range"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24  # columns of Grafana's grid


@pytest.fixture(scope="module")
def dashboards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The two dashboards as the command writes them."""
    folder = tmp_path_factory.mktemp("grafana") / "new"
    with pytest.raises(SystemExit) as end:
        main(["grafana", str(folder)])
    assert end.value.code == 0
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.iterdir())}


def queries(dashboard: dict[str, Any]) -> list[str]:
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    return [*targets, *variables]


def labels_in(query: str, name: str) -> set[str]:
    """Labels that a query uses of the figure `name`: those it selects or groups by, or whose values it lists."""
    selected = [label for braces in re.findall(r"\{(.*?)\}", query) for label in re.findall(r"(\w+)=", braces)]
    grouped = [label for text in re.findall(r"by \((.*?)\)", query) for label in text.split(", ")]
    listed = re.findall(r"label_values\(.*, (\w+)\)$", query)
    return {*selected, *grouped, *listed}


def test_every_figure_and_label_of_the_dashboards_exists_and_every_figure_is_shown(dashboards: Any) -> None:
    assert list(dashboards) == ["polyray-runs.json", "polyray-sweeps.json"]
    wrong, shown = [], set()
    for file, dashboard in dashboards.items():
        for query in queries(dashboard):
            names = re.findall(r"\bray_(\w+)", query)
            shown |= set(names)
            for name in names:
                labels = set(FIGURES[name][0]) if name in FIGURES else set()
                if missing := labels_in(query, name) - labels:
                    wrong.append(f"{file}: {query}: {name} has no {sorted(missing)}")
        variables = {variable["name"] for variable in dashboard["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"__all"}
        wrong += [f"{file}: ${name} is no variable" for name in used ^ variables]
    assert not wrong, "\n".join(wrong)
    assert set(FIGURES) - shown == set()


def test_dashboards_keep_to_grafanas_model(dashboards: Any) -> None:
    for file, dashboard in dashboards.items():
        assert set(dashboard) == ENTRIES, file
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels) and all(set(panel) == PANEL for panel in panels)
        cells: set[tuple[int, int]] = set()
        for panel in panels:
            x, y, w, h = (panel["gridPos"][name] for name in "xywh")
            area = {(column, line) for column in range(x, x + w) for line in range(y, y + h)}
            assert x + w <= WIDTH and not cells & area, f"{file}: {panel['title']} lies over another panel"
            cells |= area
            assert panel["type"] in ("timeseries", "stat") and panel["datasource"] == SOURCE
            assert [t["refId"] for t in panel["targets"]] == ["A", "B"][: len(panel["targets"])]
            assert all(set(target) == TARGET and target["datasource"] == SOURCE for target in panel["targets"])
        for variable in dashboard["templating"]["list"]:
            assert set(variable) <= VARIABLE and variable["type"] in ("datasource", "query"), file
            assert variable["type"] == "datasource" or variable["datasource"] == SOURCE
    assert len({dashboard["uid"] for dashboard in dashboards.values()}) == len(dashboards)


def test_parentheses_and_braces_of_the_queries_close(dashboards: Any) -> None:
    for dashboard in dashboards.values():
        for query in queries(dashboard):
            bare = re.sub(r'"[^"]*"', "", query)
            assert all(bare.count(left) == bare.count(right) for left, right in ("()", "{}", "[]")), query


def test_the_dashboards_are_packed(root: Path) -> None:
    assert "polyray.cluster.monitoring = grafana/*.json" in (root / "setup.cfg").read_text(encoding="utf-8")
