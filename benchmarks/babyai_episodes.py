"""Table 3 of Ponti et al. 2023 on the single-room levels among its eight: episodes until 99 % of them succeed.

Runs `polyray run babyai` for every way of sharing skills and every seed, and prints the table beside the paper's, which
covers all eight levels. Success is the mean over levels of each level's last 1,000 episodes; a run ends at 99 %, or
after --frames. An interrupted run resumes.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.table import show
from polyray.progress import bars, last_line
from polyray.runs.metrics import METRICS, read_metrics

LEVELS = ("GoToObj", "GoToRedBallGrey", "GoToRedBall", "GoToLocal", "PutNextLocal", "PickupLoc")
WINDOW, MARKS = 1000, (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
COMMON = (
    "policy.memory=64", "training.lr=5e-4", "training.backbone_lr=5e-4", "training.normalise_advantages=true",
    "training.entropy=0.02", "training.entropy_end=0.02", "evaluation.videos=0", "training.goal_of=mean",
    f"training.goal={MARKS[-1]}", f"training.window={WINDOW}",
)  # fmt: skip
WAYS = {
    "shared": ("routing.kind=shared", "modules.kind=sparse"),
    "private": ("routing.kind=private", "modules.kind=sparse"),
    "expert": ("routing.kind=expert", "modules.kind=sparse"),
    "polytropon": ("routing.kind=polytropon", "modules.kind=sparse"),
    "polytropon, dense": ("routing.kind=polytropon", "modules.kind=dense"),
}
PAPER = {
    "shared": "3,544,294", "private": "> 6,000,000", "expert": "4,608,019", "polytropon": "2,218,226",
    "polytropon, dense": "1,853,060",
}  # fmt: skip


class Run:
    """One training in a process of its own."""

    def __init__(self, way: str, seed: int, frames: int, levels: Sequence[str], root: Path) -> None:
        self.way, self.seed, self.frames = way, seed, frames
        self.name = f"{way.replace(', ', '-')}-{seed}"
        self.out = root / self.name
        self._command = [
            sys.executable, "-m", "polyray", "run", "babyai", "--out", str(self.out), *COMMON, *WAYS[way],
            f"levels=[{','.join(levels)}]", f"training.seed={seed}", f"training.frames={frames}",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin, or resume an earlier process's run; the output goes to a file beside the run's folder."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with (self.out.parent / f"{self.name}.txt").open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)

    def ended(self) -> bool:
        """Whether the process has ended.

        Raises:
            SystemExit: it failed.
        """
        assert self._process is not None
        code = self._process.poll()
        if code:
            sys.exit(f"{self.name} failed: see {self.out.parent / self.name}.txt")
        return code is not None

    def stop(self) -> None:
        """Interrupt the process if it runs; the run can be resumed later."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def train(runs: Sequence[Run], jobs: int) -> None:
    """Complete all runs, `jobs` at a time, with one progress bar each."""
    waiting, running = list(runs), list[Run]()
    try:
        with bars(Console()) as display:
            shown = {run.name: display.add_task(run.name, total=run.frames, note="") for run in runs}
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(waiting.pop(0))
                    running[-1].start()
                time.sleep(2)
                for run in running:
                    line: Any = last_line(run.out / METRICS)
                    if line is not None:
                        note = f"{line['episodes']:,} episodes, success {line['success'] or 0:.3f}"
                        display.update(shown[run.name], completed=line["step"], note=note)
                running = [run for run in running if not run.ended()]
    finally:
        for run in running:
            run.stop()


def rows(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """For every run: episodes until each mark, length, and success from start states that it has not seen."""
    for run in runs:
        result = json.loads((run.out / "result.json").read_text(encoding="utf-8"))["metrics"]
        lines = [line for line in read_metrics(run.out, "training") if "tasks" in line]
        full = [line for line in lines if min(task["episodes"] for task in line["tasks"].values()) >= WINDOW]
        episodes_until = {
            mark: next((f"{line['episodes']:,}" for line in full if line["success"] >= mark), "-") for mark in MARKS
        }
        yield {
            "way": run.way, "seed": run.seed, **{f"{mark:.0%}": episodes for mark, episodes in episodes_until.items()},
            "frames": f"{lines[-1]['step']:,}", "episodes": f"{lines[-1]['episodes']:,}",
            **{name: 100 * task["success"] for name, task in result["tasks"].items()}, "unseen": 100 * result["mean"],
            "paper": PAPER[run.way],
        }  # fmt: skip


def main() -> None:
    """Complete all runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--levels", nargs="+", default=LEVELS)
    parser.add_argument("--frames", type=int, default=10_000_000, help="of each run, at most")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; each keeps a core busy")
    parser.add_argument("--out", type=Path, default=Path("runs/episodes"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    runs = [
        Run(way, seed, arguments.frames, arguments.levels, arguments.out)
        for seed in arguments.seeds
        for way in arguments.ways
    ]
    train(runs, arguments.jobs)
    show("Episodes until success", list(rows(runs)), arguments.json)


if __name__ == "__main__":
    main()
