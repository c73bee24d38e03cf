"""Table 3 of Ponti et al. 2023: episodes until 99 % of them succeed, for every way of sharing skills, sparse and dense.

Runs `polyray run babyai` for every way, density and seed, and prints the table beside the paper's, which covers all
eight levels. Success is the mean over levels of each level's last 1,000 episodes in the order in which they began; a
run ends at 99 %, or after --frames or --hours. Figures are geometric means over seeds with 95 % intervals (Student's t
of the logarithms), ratios those of equal seeds. Each training is a run folder: the same command goes on where it
stopped.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.intervals import Interval, geometric_interval, mean_interval, ratio_interval
from benchmarks.table import show
from benchmarks.trainings import Training, train
from polyray.runs.metrics import METRICS, read_metrics

LEVELS = ("GoToObj", "GoToRedBallGrey", "GoToRedBall", "GoToLocal", "PutNextLocal", "PickupLoc")
WINDOW, MARKS = 1000, (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
COMMON = (
    "policy.memory=64", "training.lr=5e-4", "training.backbone_lr=5e-4", "training.normalise_advantages=true",
    "training.entropy=0.02", "training.entropy_end=0.02", "evaluation.videos=0", "training.goal_of=mean",
    f"training.goal={MARKS[-1]}", f"training.window={WINDOW}",
)  # fmt: skip
KINDS = {"shared": "shared", "private": "private", "expert": "expert", "skilled": "polytropon"}  # router of each way
DENSITIES = ("sparse", "dense")
PAPER = {
    ("shared", "sparse"): "3,544,294", ("private", "sparse"): "> 6,000,000", ("expert", "sparse"): "4,608,019",
    ("skilled", "sparse"): "2,218,226", ("skilled", "dense"): "1,853,060",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One way of sharing skills in one density, and its trainings by seed."""

    way: str
    density: str
    trainings: Mapping[int, Training]

    def episodes(self, mark: float) -> dict[int, int]:
        """Episodes of all levels until success reached the mark, for the seeds that reached it."""
        counts = {seed: episodes_until(training.out, mark) for seed, training in self.trainings.items()}
        return {seed: count for seed, count in counts.items() if count is not None}


def options_of(way: str, density: str, seed: int, arguments: argparse.Namespace) -> list[str]:
    """Overrides of the job for one training."""
    return [
        *COMMON, f"routing.kind={KINDS[way]}", f"modules.kind={density}", f"modules.init={arguments.init}",
        f"training.draw={arguments.draw}", f"levels=[{','.join(arguments.levels)}]", f"training.seed={seed}",
        f"training.frames={arguments.frames}", *arguments.options,
    ]  # fmt: skip


def episodes_until(out: Path, mark: float) -> int | None:
    """Episodes of all levels that had ended when success reached `mark`, None where it did not.

    Success counts once every level has a whole window of episodes.
    """
    if not (out / METRICS).exists():
        return None
    for line in read_metrics(out, "training"):
        full = min(level["counted"] for level in line["tasks"].values()) >= WINDOW
        if full and line["success"] >= mark:
            return int(line["episodes"])
    return None


def rows(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """For every cell: episodes until each mark, the last one over that of SHARED, and success from unseen starts."""
    shared = {cell.density: cell.episodes(MARKS[-1]) for cell in cells if cell.way == "shared"}
    for cell in cells:
        last = cell.episodes(MARKS[-1])
        both = sorted(last.keys() & shared.get(cell.density, {}).keys())
        ratio = [last[seed] for seed in both], [shared[cell.density][seed] for seed in both] if both else []
        done = [training.result["mean"] for training in cell.trainings.values() if training.result is not None]
        yield {
            "way": cell.way, "density": cell.density, "seeds": len(cell.trainings),
            **{f"{mark:.0%}": _reached(cell, mark) for mark in MARKS},
            "over shared": _text(ratio_interval(*ratio), 2) if both else "-",
            "unseen, %": _text(mean_interval([100 * mean for mean in done]), 1) if done else "-",
            "paper, 99%": PAPER.get((cell.way, cell.density), "-"),
        }  # fmt: skip


def _reached(cell: Cell, mark: float) -> str:
    """Episodes until a mark, and of how many seeds where not all reached it."""
    episodes = list(cell.episodes(mark).values())
    if not episodes:
        return "-"
    some = f" ({len(episodes)} of {len(cell.trainings)})" if len(episodes) < len(cell.trainings) else ""
    return _text(geometric_interval(episodes), 0) + some


def _text(interval: Interval, digits: int) -> str:
    mean, low, high = (f"{value:,.{digits}f}" for value in interval)
    return mean if "inf" in high else f"{mean} [{low}, {high}]"


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--densities", nargs="+", choices=DENSITIES, default=list(DENSITIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--levels", nargs="+", default=LEVELS)
    parser.add_argument("--draw", choices=("frames", "episodes"), default="frames", help="how levels are drawn")
    parser.add_argument("--init", type=float, default=0.0, help="of skills; 1: Kaiming-uniform, as in the paper")
    parser.add_argument("--frames", type=int, default=10_000_000, help="of each training, at most")
    parser.add_argument("--hours", type=float, help="of each training, at most")
    parser.add_argument("--options", nargs="*", default=[], help="further ones of the job, such as modules.density=0.3")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; each keeps a core busy")
    parser.add_argument("--out", type=Path, default=Path("runs/episodes"), help="another one for other options")
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    parser.add_argument("--json", action="store_true")
    return parser


def main(command: Sequence[str] | None = None) -> None:
    """Complete all trainings, seed after seed, and print the table."""
    arguments = parser().parse_args(command)
    cells = [
        Cell(
            way=way,
            density=density,
            trainings={
                seed: Training(
                    "babyai", options_of(way, density, seed, arguments),
                    arguments.out / f"{way}-{density}-{seed}", arguments.frames, arguments.hours,
                )
                for seed in arguments.seeds
            },
        )
        for way in arguments.ways
        for density in arguments.densities
    ]  # fmt: skip
    if not arguments.table:
        train([cell.trainings[seed] for seed in arguments.seeds for cell in cells], arguments.jobs)
    show("Episodes until success", list(rows(cells)), arguments.json)


if __name__ == "__main__":
    main()
