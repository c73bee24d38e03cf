"""report.html of a run, composed from the files that the run wrote."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table as RichTable
from safetensors.torch import load_file

from polyray.analysis.allocation import analyse, features, subsets
from polyray.analysis.hierarchy import hierarchy, leaf_order
from polyray.reports import (
    Details,
    Facts,
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
from polyray.runs.metrics import read_metrics
from polyray.training.journal import ALLOCATION, ALLOCATION_NAMES

REPORT = "report.html"
NAMES = {  # the paper's names and the order of its Table 1
    "shared": "SHARED", "private": "PRIVATE", "expert": "EXPERT", "hyperformer": "HYPERFORMER", "polytropon": "SKILLED",
}  # fmt: skip


def ordered(kinds: Mapping[str, Any]) -> list[str]:
    """Router kinds in the paper's order, others behind."""
    return [kind for kind in NAMES if kind in kinds] + [kind for kind in kinds if kind not in NAMES]


def write_training(out: Path, metrics: Mapping[str, Any]) -> None:
    """The report of one multi-task training."""
    sections = [_scores(metrics["tasks"], metrics["mean"]), _curves({"loss": out}), *_allocation(out, metrics)]
    write_page(out / REPORT, f"Polytropon: {out.name}", sections)


def write_scores(out: Path, metrics: Mapping[str, Any], console: Console) -> None:
    """The report of an evaluation, and its table on the console."""
    write_page(out / REPORT, f"Evaluation: {out.name}", [_scores(metrics["tasks"], metrics["mean"])])
    table = RichTable("task", "metric", "score", "details", title="Scores")
    for name, values in metrics["tasks"].items():
        metric, score, details = _figures(values)
        table.add_row(name, metric, f"{score:.1f}", details)
    table.add_section()
    table.add_row("mean", "", f"{100 * metrics['mean']:.1f}", "")
    console.print(table)


def _figures(values: Mapping[str, float]) -> tuple[str, float, str]:
    """A task's own metric, which stands first among its figures, in percent, and the others as a text."""
    (metric, score), *details = values.items()
    return metric, 100 * score, ", ".join(f"{name} {value:.3g}" for name, value in details)


def write_adaptation(out: Path, metrics: Mapping[str, Any]) -> None:
    """The report of a few-shot adaptation."""
    methods = metrics["methods"]
    bars = {name: _means(method["tasks"]) for name, method in methods.items()}
    deviations = {name: _deviations(method["tasks"]) for name, method in methods.items()}
    picture = _picture(
        method_bars(bars, x_label="score", errors=deviations), "Mean and deviation over few-shot splits."
    )
    table = _table(methods, {name: name for name in methods})
    write_page(
        out / REPORT, f"Adaptation: {out.name}", [Section(heading="Scores on unseen tasks", blocks=[picture, table])]
    )


def write_comparison(out: Path, metrics: Mapping[str, Any], folders: Mapping[str, Path]) -> None:
    """The report of a comparison of routers."""
    kinds = {NAMES.get(kind, kind): metrics["kinds"][kind] for kind in ordered(metrics["kinds"])}
    bars = {name: _means(kind["tasks"]) for name, kind in kinds.items()}
    deviations = {name: _deviations(kind["tasks"]) for name, kind in kinds.items()}
    blocks: list[Any] = [
        _picture(method_bars(bars, x_label="score", errors=deviations), "Mean and deviation over few-shot splits."),
        _table(kinds, {name: name for name in kinds}),
    ]
    sections = [Section(heading="Few-shot adaptation to unseen tasks", blocks=blocks)]
    if "SHARED" in bars:
        deltas = [
            _picture(delta_bars(bars[name], bars["SHARED"], x_label="score"), f"{name} minus SHARED.")
            for name in bars
            if name != "SHARED"
        ]
        sections.append(Section(heading="Difference from SHARED, task by task", blocks=deltas))
    sections.append(_curves({NAMES.get(kind, kind): folder for kind, folder in folders.items()}))
    if "polytropon" in folders:
        sections += _allocation(folders["polytropon"], metrics["trained"]["polytropon"])
    write_page(out / REPORT, f"Comparison: {out.name}", sections)


def _picture(figure: Figure, caption: str) -> Picture:
    return Picture(svg=to_svg(figure), caption=caption)


def _scores(tasks: Mapping[str, Mapping[str, float]], mean: float) -> Section:
    rows: list[list[str | float]] = [[name, *_figures(values)] for name, values in tasks.items()]
    table = Table(header=["task", "metric", "score", "details"], rows=[*rows, ["mean", "", 100 * mean, ""]])
    return Section(heading="Test scores of the training tasks", blocks=[table])


def _table(methods: Mapping[str, Any], titles: Mapping[str, str]) -> Table:
    tasks = next(iter(methods.values()))["tasks"]
    rows: list[list[str]] = []
    for task, values in tasks.items():
        cells = [method["tasks"][task] for method in methods.values()]
        told = [f"{100 * sum(own['scores']) / len(own['scores']):.1f} ± {100 * own['std']:.1f}" for own in cells]
        rows.append([task, next(iter(values)), *told])
    rows.append(["mean", "", *[f"{100 * method['mean']:.1f}" for method in methods.values()]])
    return Table(header=["task", "metric", *titles.values()], rows=rows, caption="Mean ± deviation over splits.")


def _means(tasks: Mapping[str, Any]) -> dict[str, float]:
    return {name: sum(values["scores"]) / len(values["scores"]) for name, values in tasks.items()}


def _deviations(tasks: Mapping[str, Any]) -> dict[str, float]:
    return {name: values["std"] for name, values in tasks.items()}


def _curves(folders: Mapping[str, Path]) -> Section:
    curves = {}
    for name, folder in folders.items():
        lines = read_metrics(folder)
        curves[name] = ([line["step"] for line in lines], [line["loss"] for line in lines])
    picture = _picture(learning_curves(curves, y_label="training loss"), "Mean loss since the point before.")
    return Section(heading="Learning curves", blocks=[picture])


def _allocation(out: Path, metrics: Mapping[str, Any]) -> list[Section]:
    """What the router learned; only tasks that were trained have rows here."""
    if not (out / ALLOCATION).exists():
        return []
    held = json.loads((out / ALLOCATION_NAMES).read_text(encoding="utf-8"))
    tasks: Sequence[str] = held["tasks"]
    probabilities = load_file(out / ALLOCATION)["probabilities"].double().numpy()
    facts = {**metrics["allocation"], **metrics.get("recovery", {})}
    mean = probabilities.mean(0)
    blocks: list[Any] = [Facts(facts={name.replace("_", " "): value for name, value in facts.items()})]
    if len(tasks) < 2 or mean.shape[1] < 2:
        return [Section(heading="Allocation of skills to tasks", blocks=blocks)]
    tree = hierarchy(features(probabilities))
    order = leaf_order(tree)
    groups = subsets(mean, tasks)
    blocks.append(
        _picture(
            allocation_map(probabilities[:, order], [tasks[place] for place in order]),
            "Chance that a task uses a skill, mean over sites; tasks in the order of the hierarchy.",
        )
    )
    trees: list[Any] = [
        _picture(circular_dendrogram(tree, tasks, groups), "Average linkage, Euclidean, over all sites' rows."),
        Details(summary="The same as a plain tree", blocks=[_picture(dendrogram(tree, tasks, groups), "")]),
    ]
    rows = [[", ".join(map(str, subset)) or "none", ", ".join(names)] for subset, names in sorted(groups.items())]
    table = Table(
        header=["skills", "tasks"], rows=rows, caption="Skills that a task uses with a chance above one half."
    )
    maps = _picture(site_maps(analyse(probabilities), held["sites"]), "Density and discreteness by skill and site.")
    return [
        Section(heading="Allocation of skills to tasks", blocks=blocks),
        Section(heading="Task hierarchy", blocks=trees),
        Section(
            heading="Tasks by subset of skills", blocks=[Details(summary=f"{len(groups)} subsets", blocks=[table])]
        ),
        Section(
            heading="Site by site",
            blocks=[maps, Prose(text="Sites are the layers that carry skills, in the backbone's order.")],
        ),
    ]
