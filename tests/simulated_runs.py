"""Runs on a simulated disk that stops at random moments, and what they then lack of what they were told to be safe."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

from simulated_disk import CrashError, SimulatedDisk

from polyray.files import clear, make_folders, write_file, writing
from polyray.files.disk import Point, disk, using
from polyray.runs.checkpoint import clear_checkpoints, latest_checkpoint, step_of, write_checkpoint
from polyray.runs.metrics import METRICS, append_line
from polyray.runs.restoring import restore_metrics
from polyray.runs.sums import SUMS, damage, sums_of

OUT, CHECKPOINTS, SKILLS = Path("/run"), Path("/run/checkpoints"), Path("/run/skills")
STEPS, STARTS = 4, 3


@dataclass
class Acknowledged:
    """Writes that a run was told to be safe.

    step: of its newest checkpoint. skills: the version of each skill. result: whether the run has ended.
    """

    step: int = 0
    skills: dict[str, int] = field(default_factory=dict)
    result: bool = False


def line(step: int) -> dict[str, object]:
    return {"step": step, "loss": 1 / step}


def run(safe: Acknowledged) -> None:
    """One start of a run: it goes on from its checkpoint, reports, saves, and writes two skills, one of them twice."""
    make_folders(SKILLS)
    for folder in (OUT, SKILLS):
        clear(folder)
    checkpoint = latest_checkpoint(CHECKPOINTS)
    if checkpoint is not None:
        clear_checkpoints(CHECKPOINTS, checkpoint)
    restore_metrics(OUT, CHECKPOINTS, None, checkpoint)
    for step in range(step_of(checkpoint) + 1 if checkpoint is not None else 1, STEPS + 1):
        append_line(OUT / METRICS, line(step))
        write_checkpoint(CHECKPOINTS, step, lambda folder: state(folder, step))  # noqa: B023  # called at once
        safe.step = step
        save_skill("a", step, safe)
    save_skill("b", STEPS, safe)
    write_file(OUT / "result.json", "done")
    safe.result = True


def state(folder: Path, step: int) -> None:
    write_file(folder / "state.json", json.dumps(step) * 5)
    with writing(folder / "skills" / "a") as inner:
        write_file(inner / "tensors", f"{step}" * 9)
    disk().write(Point.CONTENT_WRITTEN, folder / METRICS, disk().read(OUT / METRICS))


def save_skill(name: str, version: int, safe: Acknowledged) -> None:
    with writing(SKILLS / name) as folder:
        write_file(folder / "tensors", f"{version}" * 9)
        write_file(folder / "version", str(version))
        disk().write(Point.CONTENT_WRITTEN, folder / SUMS, json.dumps(sums_of(folder)).encode())
    safe.skills[name] = version


def problems(safe: Acknowledged) -> list[str]:
    """Writes that the next start finds lost or half-written, after it has cleared the folders."""
    lost = []
    for folder in (OUT, SKILLS) if disk().exists(SKILLS) else ():
        clear(folder)
    checkpoint = latest_checkpoint(CHECKPOINTS)
    step = step_of(checkpoint) if checkpoint is not None else 0
    if step < safe.step:
        lost.append(f"the checkpoint of step {safe.step} is lost, the newest is {step}")
    if checkpoint is not None:
        lines = [json.loads(text) for text in disk().read(checkpoint / METRICS).splitlines()]
        lost += [] if lines == [line(n) for n in range(1, step + 1)] else [f"metrics up to step {step}: {lines}"]
    for name, version in safe.skills.items():
        if not disk().exists(SKILLS / name):
            lost.append(f"the skill {name} is lost")
        elif damage(SKILLS / name) is not None or int(disk().read(SKILLS / name / "version")) < version:
            lost.append(f"the skill {name} is damaged or older than version {version}")
    for name in disk().names(SKILLS):
        if not name.startswith(".") and damage(SKILLS / name) is not None:
            lost.append(f"an unfinished skill {name} is listed")
    if safe.result and (not disk().exists(OUT / "result.json") or disk().read(OUT / "result.json") != b"done"):
        lost.append("the result is lost")
    return lost


def wrong_with(seed: int) -> list[str]:
    """Faults when the machine stops up to three times at random moments, and the run is started once more."""
    generator = random.Random(seed)
    simulated, safe, lost = SimulatedDisk(generator, 0), Acknowledged(), []
    with using(simulated):
        for _ in range(generator.randint(1, STARTS)):
            simulated.last = simulated.count + generator.randint(1, 260)
            try:
                run(safe)
            except CrashError:
                simulated.crash()
            lost += problems(safe)
        simulated.last = 0
        run(safe)
        lost += problems(safe)
        remains = [name for folder in (OUT, SKILLS, CHECKPOINTS) for name in disk().names(folder) if name[0] == "."]
        text = b"".join(json.dumps(line(n), separators=(",", ":")).encode() + b"\n" for n in range(1, STEPS + 1))
        if disk().read(OUT / METRICS) != text:
            lost.append(f"metrics.jsonl is {disk().read(OUT / METRICS)!r}")
    return [f"seed {seed}: {problem}" for problem in (*lost, *(f"{name} was left" for name in remains))]
