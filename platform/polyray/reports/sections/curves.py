"""Learning curves: loss and validation score of a training and of those inside it, and the success of agents."""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from polyray.reports.figure import to_svg
from polyray.reports.labels import in_order, router_label
from polyray.reports.page import Picture, Section
from polyray.reports.plots import learning_curves
from polyray.runs.folder import read_config
from polyray.runs.metrics import METRICS, read_metrics
from polyray.runs.result import final_metrics

POINTS = 400  # of a curve of success, at most
TARGET = 0.99
TASKS = 9  # whose curves of validation are shown, at most


def loss(run: Path) -> Section | None:
    """The loss against steps, of this run and of the runs in its folders; None where no loss was reported.

    Beside the loss in training stands that on dev examples, where there were validations.
    """
    training, dev = {}, {}
    for folder_name, folder in _folders(run).items():
        for phase, lines in _by_phase(read_metrics(folder)).items():
            name = f"{folder_name} {phase}".strip()
            training[name or "training"] = _curve(lines, "loss")
            dev[f"{name}, dev" if name else "dev"] = _curve(lines, "validation", "loss")
    curves = {name: curve for name, curve in {**training, **dev}.items() if curve[0]}
    if not curves:
        return None
    validated = not dev.keys().isdisjoint(curves)
    picture = Picture(
        svg=to_svg(learning_curves(curves, y_label="loss" if validated else "training loss")),
        caption=f"Mean loss since the point before{'; on dev examples, of the state at the point' * validated}.",
    )
    return Section(heading="Learning curves", blocks=[picture])


def validation(run: Path) -> Section | None:
    """The validation score against steps, of this run and of the runs in its folders; None where none was reported.

    Of a run alone the scores of its tasks too, if they are few.
    """
    curves, sentences = {}, ["Mean over tasks, on examples or start states that training does not see."]
    for name, folder in _folders(run).items():
        phases = _by_phase([line for line in read_metrics(folder) if "validation" in line])
        for phase, lines in phases.items():
            curves[f"{name} {phase}".strip() or "mean"] = _curve(lines, "validation", "score")
            tasks = [] if name or len(phases) > 1 else list(lines[-1]["validation"]["tasks"])
            for task in tasks if len(tasks) <= TASKS else ():
                curves[task] = _curve(lines, "validation", "tasks", task)
        sentences += _selection_sentences(name, folder) if phases else []
    if not curves:
        return None
    picture = Picture(svg=to_svg(learning_curves(curves, y_label="validation score")), caption=" ".join(sentences))
    return Section(heading="Validation while training", blocks=[picture])


def _selection_sentences(name: str, folder: Path) -> list[str]:
    """A sentence on the state that ended in the skills; none where the run has not ended, or was not validated."""
    figures = final_metrics(folder).get("validation")
    skills = f"The skills of {name}" if name else "The skills"
    sentence = "{} are of the state after step {step:,}, which scored {score:.3f}."
    return [sentence.format(skills, **figures)] if figures else []


def _folders(run: Path) -> dict[str, Path]:
    """This run, under an empty name, and the runs of a comparison in its folders, by the names of their routers."""
    inner = {file.parent.name: file.parent for file in run.glob(f"*/{METRICS}")}
    return {"": run} | {router_label(kind): inner[kind] for kind in in_order(sorted(inner))}


def _by_phase(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The lines of each phase, each with steps of its own; of one phase alone under an empty name."""
    phases: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        phases.setdefault(line.get("phase", ""), []).append(line)
    return phases if len(phases) > 1 else dict(zip([""], phases.values(), strict=False))


def _curve(lines: Sequence[Mapping[str, Any]], *path: str) -> tuple[list[float], list[float]]:
    """Steps and values of a nested figure, of the lines that have it; `path`: its name after those of its groups."""
    *groups, name = path
    figures = [reduce(lambda inner, group: inner.get(group, {}), groups, line) for line in lines]
    points = [(line["step"], _number(of[name])) for line, of in zip(lines, figures, strict=True) if name in of]
    return [step for step, _ in points], [value for _, value in points]


def success(run: Path) -> Section | None:
    """The success of agents against the episodes of all levels, as they were played; None for other runs."""
    lines = [line for line in read_metrics(run) if "success" in line and "tasks" in line]
    if not lines:
        return None
    shown = lines[:: -(-len(lines) // POINTS)]
    curves = learning_curves(_successes(shown), y_label="success", x_label="episodes, all levels", target=TARGET)
    window = read_config(run).get("training", {}).get("window")
    last = f"last {window:,} episodes" if window else "last episodes"
    caption = f"Share of successes among each level's {last}; the dashed line is {TARGET:.0%}."
    return Section(heading="Success while training", blocks=[Picture(svg=to_svg(curves), caption=caption)])


def _successes(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    episodes = [float(line["episodes"]) for line in lines]
    curves = {"mean": (episodes, [_number(line["success"]) for line in lines])}
    for level in lines[-1]["tasks"]:
        curves[level] = (episodes, [_number(line["tasks"].get(level, {}).get("success")) for line in lines])
    return curves


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
