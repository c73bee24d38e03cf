"""Table 1 of Ponti et al. 2023 on the CrossFit-style tasks in POLYRAY_DATA: five routers, five few-shot splits.

Runs `polyray run compare` and prints its table beside the paper's averages; an interrupted run resumes.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.table import show

KINDS = ("shared", "private", "expert", "hyperformer", "polytropon")  # the paper's column order
PAPER = {"shared": 53.9, "private": 49.4, "expert": 43.0, "hyperformer": 52.7, "polytropon": 56.9}
HERE = Path(__file__).parent


def main() -> None:
    """Run the comparison and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", required=True, help="folder or name of a small pretrained encoder (MiniLM)")
    parser.add_argument("--out", type=Path, default=Path("runs/crossfit"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="section.key=value for `polyray run compare`")
    arguments = parser.parse_args()
    data = Path(os.environ.get("POLYRAY_DATA", "../shared/data")).absolute()
    command = [
        sys.executable, "-m", "polyray", "run", "compare", "--config", str(HERE / "crossfit.yaml"),
        "--out", str(arguments.out), f"tasks.path={data / 'crossfit'}", f"backbone={arguments.backbone}",
        *arguments.overrides,
    ]  # fmt: skip
    subprocess.run(command, check=True)
    result = json.loads((arguments.out / "result.json").read_text(encoding="utf-8"))
    show("Few-shot adaptation to unseen tasks (x 100)", rows(result["metrics"]["kinds"]), arguments.json)


def rows(kinds: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each task, one for the mean and one for the paper's mean; columns in the paper's order of routers."""
    table = []
    for task in kinds["shared"]["tasks"]:
        cells = {kind: kinds[kind]["tasks"][task] for kind in KINDS}
        texts = {
            kind: f"{100 * sum(c['scores']) / len(c['scores']):.1f} ± {100 * c['std']:.1f}" for kind, c in cells.items()
        }
        table.append({"task": task, **texts})
    table.append({"task": "mean", **{kind: f"{100 * kinds[kind]['mean']:.1f}" for kind in KINDS}})
    table.append({"task": "paper (BART-large, 20 tasks)", **{kind: f"{PAPER[kind]}" for kind in KINDS}})
    return table


if __name__ == "__main__":
    main()
