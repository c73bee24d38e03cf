"""Trade-offs of systems that answer in dialogues: faithfulness against abstractiveness, and against BLEU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polyray.reports.figure import COLOURS, REST, plain_frame, to_svg
from polyray.reports.page import Cell, Picture, Section, Table
from polyray.runs.result import final_metrics
from polyray.sweeps.record import SweepRecord
from polyray.sweeps.rows import TrialRow
from polyray.sweeps.wording import fields_text

MEANS = "means"  # metrics of a run of `respond`, each the mean over its tasks
DENSITY, BLEU, CRITIC, KNOWLEDGE_F1 = "Density", "BLEU", "Critic", "Knowledge-F1"


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """A trial in both pictures.

    faithfulness: share of responses that the critic finds faithful, or where there is none F1 with the knowledge.
    density: words of a copied fragment, small where responses are abstractive.
    """

    row: TrialRow
    faithfulness: float
    density: float
    bleu: float


def section(record: SweepRecord) -> Section | None:
    """Both pictures with their fronts, from the results of the trials; None where these are no responses in dialogues.

    Daheim et al. 2024 (arXiv:2303.17574), section 5.
    """
    means = [(row, values) for row in record.scored if (values := _means(row))]
    judged = bool(means) and all(CRITIC in values for _, values in means)
    name = f"1 - {CRITIC}" if judged else KNOWLEDGE_F1
    points = [
        TrialPoint(
            row=row, faithfulness=1 - values[CRITIC] if judged else values[KNOWLEDGE_F1], density=values[DENSITY],
            bleu=values[BLEU],
        )
        for row, values in means
    ]  # fmt: skip
    if not points:
        return None
    fronts = [front([(-x.density, x.faithfulness) for x in points]), front([(x.bleu, x.faithfulness) for x in points])]
    caption = (
        f"Faithfulness ({name}) against density, the length of copied fragments, which is small where responses are "
        "abstractive; and against BLEU. A line joins the trials that no other one beats in both."
    )
    chosen = [points[index] for index in sorted({*fronts[0], *fronts[1]})]
    rows: list[list[Cell]] = [
        [x.row.number, x.faithfulness, x.density, x.bleu, fields_text(x.row.fields)] for x in chosen
    ]
    table = Table(header=["trial", name, DENSITY, BLEU, "fields"], rows=rows)
    picture = Picture(svg=to_svg(tradeoff_plot(points, fronts, name)), caption=caption)
    return Section(heading="Trade-offs of responses", blocks=[picture, table])


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one equals or beats in both numbers and beats in one, by the first number."""
    best, chosen = float("-inf"), list[int]()
    for index in sorted(range(len(points)), key=lambda index: points[index], reverse=True):
        if points[index][1] > best or (chosen and points[index] == points[chosen[-1]]):
            best = points[index][1]
            chosen.append(index)
    return chosen[::-1]


def tradeoff_plot(points: Sequence[TrialPoint], fronts: Sequence[Sequence[int]], name: str) -> Figure:
    """Faithfulness against density at the left, against BLEU at the right, trials by their numbers."""
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, [(x.density, x.faithfulness) for x in points], points, fronts[0], "density")
    _panel(right, [(x.bleu, x.faithfulness) for x in points], points, fronts[1], BLEU)
    left.set_ylabel(name, fontsize=9, parse_math=False)
    return figure


def _panel(
    axes: Axes, places: Sequence[tuple[float, float]], points: Sequence[TrialPoint], chosen: Sequence[int], label: str
) -> None:
    axes.scatter([x for x, _ in places], [y for _, y in places], s=14, color=REST)
    ends = [places[index] for index in chosen]
    axes.plot([x for x, _ in ends], [y for _, y in ends], color=COLOURS[0], marker="o", markersize=4, linewidth=1.3)
    for index in chosen:
        axes.annotate(
            str(points[index].row.number), places[index], fontsize=7, xytext=(3, 3), textcoords="offset points"
        )
    plain_frame(axes, grid="y")
    axes.set_xlabel(label, fontsize=9)
    axes.tick_params(labelsize=8)


def _means(row: TrialRow) -> Mapping[str, float]:
    """The means of a trial over its repeats; none where its runs answered no dialogues."""
    of_runs = [final_metrics(folder).get(MEANS) or {} for folder in row.folders]
    names = set.intersection(*map(set, of_runs)) if of_runs else set()
    if not {DENSITY, BLEU, KNOWLEDGE_F1} <= names:
        return {}
    return {name: fmean(run[name] for run in of_runs) for name in names}
