"""Merging of large models from file to file: Polyray, mergekit where it is installed, and the disk alone.

Three random models of --gigabytes each are written to --folder once (fp32, the shapes of Flan-T5-base repeated). Every
row is a process of its own, the tools in turn, --rounds times; figures are medians. `command` is the whole command from
a shell; `work` leaves out what a process needs to start and to import. `floor` reads the models and writes a file of
one's size in stretches of 1 MiB, and computes nothing. Memory is the largest anonymous memory, in MiB: pages of files,
which the system takes back when it likes, are not counted.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.table import show

MODELS = ("base", "a", "b")
SHAPES = ((768, 768),) * 8 + ((3072, 768), (768, 3072), (768,), (768,))
METHODS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "linear": ("average", {}),
    "task_arithmetic": ("task_arithmetic", {"normalize": False}),
    "ties": ("ties", {"normalize": True}),
}
DENSITY = {"linear": None, "task_arithmetic": 1.0, "ties": 0.5}
POLL = 0.02  # seconds between two looks at a process's memory

FLOOR = """
import os, sys
buffer = bytearray(1 << 20)
with open(sys.argv[1], "wb") as output:
    for number, path in enumerate(sys.argv[2:]):
        with open(path, "rb", buffering=0) as source:
            while count := source.readinto(buffer):
                if number == 0:
                    os.write(output.fileno(), memoryview(buffer)[:count])
"""
POLYRAY = (
    "import json, sys\nfrom pathlib import Path\n"
    + """
from polyray.config import load_config
from polyray.jobs.merge import Config, check
from polyray.merging.stream import merge_shard
import time, torch
torch.set_num_threads(1)
begin = time.perf_counter()
plan = check(load_config(Config, Path(sys.argv[1])))
merge_shard(plan, 0, {1.0: Path(sys.argv[2])})
print(json.dumps(time.perf_counter() - begin))
"""
)
MERGEKIT = """
import json, sys, time
from mergekit.scripts.merge_raw_pytorch import main
begin = time.perf_counter()
main([sys.argv[1], sys.argv[2], "--quiet"], standalone_mode=False)
print(json.dumps(time.perf_counter() - begin))
"""


def write_models(folder: Path, gigabytes: float) -> None:
    """Write the models, unless they are there."""
    for seed, name in enumerate(MODELS):
        if (folder / name / "model.safetensors").is_file():
            continue
        (folder / name).mkdir(parents=True, exist_ok=True)
        generator, tensors, size = torch.Generator().manual_seed(seed), dict[str, torch.Tensor](), 0
        while size < gigabytes * 1e9:
            shape = SHAPES[len(tensors) % len(SHAPES)]
            tensor = torch.randn(shape, generator=generator)
            tensors[f"layer.{len(tensors) // len(SHAPES)}.{len(tensors) % len(SHAPES)}.weight"] = tensor
            size += tensor.nbytes
        save_file(tensors, folder / name / "model.safetensors")


def configs(folder: Path, method: str) -> tuple[Path, Path]:
    """Files with the same merge for Polyray and for mergekit."""
    kind, options = METHODS[method]
    density = {} if DENSITY[method] is None else {"density": DENSITY[method]}
    names = MODELS if method == "linear" else MODELS[1:]
    parts = [{"model": str(folder / name), "weight": 0.5, **density} for name in names]
    base = {} if method == "linear" else {"base": str(folder / "base")}
    polyray, mergekit = folder / f"{method}.yaml", folder / f"{method}-mergekit.yml"
    polyray.write_text(json.dumps({**base, "parts": parts, "merge": {"kind": kind, **options}}), encoding="utf-8")
    files = {name: str(folder / name / "model.safetensors") for name in MODELS}
    models = [{"model": files[name], "parameters": {"weight": 0.5, **density}} for name in names]
    recipe = {"merge_method": method, "models": models, "dtype": "float32", "parameters": options}
    if method != "linear":
        recipe["base_model"] = files["base"]
    mergekit.write_text(json.dumps(recipe), encoding="utf-8")
    return polyray, mergekit


def measured(command: Sequence[str]) -> dict[str, float]:
    """Seconds, processor seconds and peak anonymous MiB of a command; `work` where it prints its own seconds.

    Raises:
        SystemExit: it failed; the message is its last output.
    """
    before = os.times()
    begin, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, anonymous(process.pid))
            time.sleep(POLL)
        seconds, after = time.perf_counter() - begin, os.times()
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{text[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    last = text.strip().splitlines()[-1] if text.strip() else ""
    work = {"work_s": float(last)} if last.replace(".", "", 1).isdigit() else {}
    return {"command_s": seconds, "cpu_s": cpu, "memory_mib": peak, **work}


def anonymous(pid: int) -> float:
    """Anonymous memory of a process now, MiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("RssAnon:")), "RssAnon: 0 kB")
    return int(line.split()[1]) / 1024


def tools(folder: Path, method: str) -> Iterator[tuple[str, list[str]]]:
    """Names and commands, each of which writes to a place of its own."""
    polyray, mergekit = configs(folder, method)
    python, out = sys.executable, folder / "out"
    sources = [str(folder / name / "model.safetensors") for name in MODELS]
    yield "floor", [python, "-c", FLOOR, str(out / "floor"), *sources]
    run = [python, "-m", "polyray", "run", "merge", "--config", str(polyray), "--out", str(out / "run")]
    yield "polyray", run
    yield "polyray, work", [python, "-c", POLYRAY, str(polyray), str(out / "shard")]
    if find_spec("mergekit") is not None:
        kit = ["mergekit.scripts.merge_raw_pytorch", str(mergekit), str(out / "kit"), "--quiet"]
        yield "mergekit", [python, "-m", *kit]
        yield "mergekit, work", [python, "-c", MERGEKIT, str(mergekit), str(out / "kit2")]


def rows_of(folder: Path, method: str, rounds: int) -> list[dict[str, Any]]:
    """A row for each tool."""
    figures: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for name, command in tools(folder, method):
            shutil.rmtree(folder / "out", ignore_errors=True)
            (folder / "out").mkdir()
            figures.setdefault(name, []).append(measured(command))
    medians = {name: {key: median(x[key] for x in runs) for key in runs[0]} for name, runs in figures.items()}
    rows: list[dict[str, Any]] = []
    for name in ("floor", "polyray", "mergekit"):
        if name in medians:
            work = medians.get(f"{name}, work", {}).get("work_s", medians[name]["command_s"])
            rows.append({"method": method, "tool": name, **medians[name], "work_s": work})
    for row in rows:
        for peer in rows:
            if peer["tool"] != "polyray" and row["tool"] == "polyray":
                for key in ("command_s", "work_s", "memory_mib"):
                    row[f"{key.rpartition('_')[0]}_over_{peer['tool']}"] = row[key] / max(peer[key], 1e-9)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the models are written and stay; a temporary one otherwise")
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of a model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        write_models(folder, arguments.gigabytes)
        rows = [row for method in arguments.methods for row in rows_of(folder, method, arguments.rounds)]
        shutil.rmtree(folder / "out", ignore_errors=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    rows = [{key: row.get(key, "") for key in columns} for row in rows]
    show(f"Merging of {len(MODELS)} models of {arguments.gigabytes} GB", rows, arguments.json)


if __name__ == "__main__":
    main()
