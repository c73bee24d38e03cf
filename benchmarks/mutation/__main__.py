"""Mutation testing of the library: draws small changes at random, and runs the default tests that reach each.

A mutant is killed when a test fails, or when the tests take far longer than without it; else it survives, and the tests
would not notice that mistake. Every mutant is written into a private copy of the repository. The tests that reach each
line are measured first and kept in build/mutation, with all results: the same command goes on after an interruption,
and results hold as long as neither the library nor the tests change.
"""

import argparse
import json
import queue
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.mutation.mutants import Mutant, draw, mutants
from benchmarks.mutation.reach import Reach, measure
from benchmarks.mutation.runs import NOTHING_RAN, Pytest
from benchmarks.mutation.trees import Tree
from benchmarks.table import show

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "mutation"
TARGETS = ("training", "skills", "runs", "objectives", "routing", "sparsity")
STARTING, SLOWER, LONGEST = 60.0, 5.0, 30.0  # seconds to start; times the usual time; seconds of one test at least


def candidates(tree: Tree, only: Sequence[str]) -> Iterator[Mutant]:
    """All mutants of the files in the folders, or of the files, that `only` names."""
    for path in tree.sources():
        if any(f"{path}/".startswith(f"{name.rstrip('/')}/") for name in only):
            yield from mutants((tree.root / path).read_text(encoding="utf-8"), path)


def judge(mutant: Mutant, tree: Tree, reach: Reach, pytest: Pytest) -> dict[str, Any]:
    """Run the tests that may notice a mutant until one fails; status, seconds and the test that failed.

    Raises:
        RuntimeError: pytest found none of the tests.
    """
    tests, began = reach.judges(mutant), time.perf_counter()
    status, killer = "survived", "" if tests else "no test reaches it"
    if tests:
        usual = [reach.seconds[test] for test in tests]
        limit = max(LONGEST, SLOWER * max(usual))
        source = (tree.root / mutant.path).read_text(encoding="utf-8")
        with tree.changed(mutant.path, mutant.apply(source)):
            outcome = pytest.run(
                tree, "-x", "-o", f"timeout={limit:.0f}", order=tests, timeout=STARTING + SLOWER * sum(usual)
            )
        if outcome.code == NOTHING_RAN:
            raise RuntimeError(f"pytest ran none of {len(tests)} tests:\n{outcome.output[-3000:]}")
        if outcome.code != 0:
            status, killer = "killed", next(iter(outcome.failed), "out of time" if outcome.code is None else "a crash")
    seconds = time.perf_counter() - began
    return {
        "key": mutant.key, "location": f"{mutant.path}:{mutant.line}", "operator": mutant.operator,
        "before": mutant.before, "after": mutant.after, "status": status, "by": killer, "tests": len(tests),
        "seconds": round(seconds, 1),
    }  # fmt: skip


def judge_all(drawn: Sequence[Mutant], trees: Sequence[Tree], reach: Reach, pytest: Pytest) -> Iterator[dict[str, Any]]:
    """Results in the order in which they are ready, one mutant at a time in each tree."""
    free: queue.SimpleQueue[Tree] = queue.SimpleQueue()
    for tree in trees:
        free.put(tree)

    def work(mutant: Mutant) -> dict[str, Any]:
        tree = free.get()
        try:
            return judge(mutant, tree, reach, pytest)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        try:
            for future in as_completed([pool.submit(work, mutant) for mutant in drawn]):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            pytest.stop()


def earlier_results(file: Path, fingerprint: str) -> dict[str, dict[str, Any]]:
    """Results in the file that hold for a tree with this fingerprint, by the keys of the mutants."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    results = [json.loads(line) for line in lines if line.endswith("}")]  # a killed process may leave half a line
    return {result["key"]: result for result in results if result["fingerprint"] == fingerprint}


def report(results: Iterable[Mapping[str, Any]], as_json: bool) -> None:
    """Print the survivors, and the share that was killed."""
    rows = [{name: value for name, value in result.items() if name not in ("key", "fingerprint")} for result in results]
    rows.sort(key=lambda row: row["location"])
    if as_json:
        show("Mutants", rows, as_json)
        return
    survivors = [row for row in rows if row["status"] == "survived"]
    if survivors:
        names = ("location", "operator", "before", "after", "tests")
        show("Survivors", [{name: row[name] for name in names} for row in survivors], as_json)
    counts = Counter(row["status"] for row in rows)
    print(f"{counts['killed']} of {len(rows)} mutants killed: {100 * counts['killed'] / max(1, len(rows)):.1f} %")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="mutants, each of another line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="a file or folder, from the root of the repository; repeatable")
    parser.add_argument("--workers", type=int, default=2, help="mutants at a time")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def reach_of(tree: Tree, pytest: Pytest, workers: int) -> Reach:
    """The tests that reach each line, measured unless that was done for the same tree."""
    file, fingerprint = CACHE / "reach.json", tree.fingerprint()
    if file.exists():
        reach = Reach.read(file)
        if reach.fingerprint == fingerprint:
            return reach
    print("Measuring which tests reach which lines.", file=sys.stderr)
    reach = measure(tree, pytest, workers)
    reach.write(file)
    return reach


def main() -> None:
    """Measure, judge, report."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options, pytest = arguments(), Pytest()
    if options.fresh:
        (CACHE / "results.jsonl").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="polyray-mutation-") as folder:
        trees = [Tree.copy(ROOT, Path(folder) / str(number)) for number in range(options.workers)]
        reach = reach_of(trees[0], pytest, options.workers)
        for test in reach.failing:
            print(f"Fails without any change, and judges nothing: {test}", file=sys.stderr)
        only = options.only or [f"platform/polyray/{name}" for name in TARGETS]
        drawn = draw(candidates(trees[0], only), options.n, options.seed)
        if not drawn:
            sys.exit(f"There is nothing to change in {', '.join(only)}.")
        earlier = earlier_results(CACHE / "results.jsonl", reach.fingerprint)
        results = [earlier[mutant.key] for mutant in drawn if mutant.key in earlier]
        waiting = [mutant for mutant in drawn if mutant.key not in earlier]
        with (CACHE / "results.jsonl").open("a", encoding="utf-8") as file:
            for result in judge_all(waiting, trees, reach, pytest):
                results.append({"fingerprint": reach.fingerprint, **result})
                file.write(json.dumps(results[-1]) + "\n")
                file.flush()
                print(f"[{len(results):3}/{len(drawn)}] {progress(result)}", file=sys.stderr)
    report(results, options.json)


def progress(result: Mapping[str, Any]) -> str:
    """One line about a result."""
    change = f"{result['before'][:50]} => {result['after'][:50]}"
    return f"{result['status']:8} {result['seconds']:6.1f} s  {result['location']}  {change}  {result['by']}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command goes on with the mutants that are left.")
