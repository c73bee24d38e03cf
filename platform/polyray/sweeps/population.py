"""Population based training: in every generation the worst trials take over the state of one of the best and change it.

Jaderberg et al. 2017 (arXiv:1711.09846), in generations: all trials of one train equally long, then all are compared.
A trial is its run folder; it takes over another's by a copy of its newest checkpoint.
"""

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from polyray.errors import InputError
from polyray.files import remove_folder, writing
from polyray.files.disk import Point, disk
from polyray.runs.checkpoint import checkpoints, latest_checkpoint, step_of
from polyray.runs.metrics import METRICS, append_synced, mend, read_lines
from polyray.runs.run import CHECKPOINTS
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.searchers.searcher import seed_of
from polyray.sweeps.space import Goal, Space
from polyray.training.schedule import RATES, SCHEDULE, Schedule, read_schedule, write_schedule

MOVES = "population.jsonl"  # in the sweep's folder: what every generation changed, written before it is done
FACTORS = (0.8, 1.25)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A trial at the end of a generation: its score, and its rates by field."""

    number: int
    score: float
    rates: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Move:
    """One trial takes over the state of another, with these rates."""

    number: int
    donor: int
    rates: Mapping[str, float]


def check_population(space: Space, options: SweepOptions) -> None:
    """Refuse a population over fields that cannot change in training, or one that is too small.

    Raises:
        InputError: that is so; the message says which fields can.
    """
    fixed = [name for name in space.fields if name not in RATES]
    if fixed:
        raise InputError(
            f"sweep.scheduler={options.scheduler} changes fields while trials train, and {fixed[0]} cannot change "
            f"then. Fields that can: {', '.join(RATES)}."
        )
    if options.trials < 2:
        raise InputError(f"A population has at least 2 trials, found sweep.trials={options.trials}.")


def moves(members: Sequence[Member], space: Space, goal: Goal, options: SweepOptions, generation: int) -> list[Move]:
    """The moves at the end of a generation: each of the worst takes over one of the best, drawn by the sweep's seed.

    The rates are the donor's, each times 0.8 or 1.25, or drawn anew from the space with probability
    `options.resample`.
    """
    ranked = sorted(members, key=lambda member: (-goal.sign * member.score, member.number))
    n_moved = min(max(1, int(len(ranked) * options.quantile)), len(ranked) // 2)
    best, worst = ranked[:n_moved], ranked[len(ranked) - n_moved :]
    return [_move(member, best, space, options, generation) for member in sorted(worst, key=lambda one: one.number)]


def _move(member: Member, best: Sequence[Member], space: Space, options: SweepOptions, generation: int) -> Move:
    rng = random.Random(seed_of(options.seed, member.number, generation + 1))
    donor = rng.choice(best)
    rates = {}
    for name, rate in donor.rates.items():
        if rng.random() < options.resample:
            drawn = space.fields[name].draw(rng)
            assert isinstance(drawn, int | float)
            rates[name] = float(drawn)
        else:
            rates[name] = rate * rng.choice(FACTORS)
    return Move(number=member.number, donor=donor.number, rates=rates)


def read_moves(sweep: Path) -> Iterator[tuple[list[Move], bool]]:
    """The moves of every generation that has ended, and whether all of them are done.

    Raises:
        InputError: the file was altered.
    """
    file = sweep / MOVES
    lines = read_lines(file)
    done = {line.get("done") for line in lines}
    for index, line in enumerate(line for line in lines if "moves" in line):
        try:
            made = [Move(**values) for values in line["moves"]]
        except TypeError as error:
            raise InputError(f"{file} was altered: {error}.") from None
        yield made, index in done


def record_moves(sweep: Path, generation: int, made: Sequence[Move]) -> None:
    """Write down what a generation changes, before it does; once this returns it is on the disk.

    Raises:
        StorageError: the disk refused.
    """
    lines = [{"number": move.number, "donor": move.donor, "rates": dict(move.rates)} for move in made]
    _append(sweep, {"generation": generation, "moves": lines})


def record_done(sweep: Path, generation: int) -> None:
    """Write down that all moves of a generation are done.

    Raises:
        StorageError: the disk refused.
    """
    _append(sweep, {"done": generation})


def _append(sweep: Path, line: Mapping[str, object]) -> None:
    mend(sweep / MOVES)
    append_synced(sweep / MOVES, line)


def take_over(folder: Path, donor: Path, move: Move) -> None:
    """Let the run in `folder` go on from the newest checkpoint of the run `donor`, with the rates of `move`.

    Done twice it is as done once: the donor is left as it is.

    Raises:
        InputError: the donor has no whole checkpoint, or no schedule.
        StorageError: the disk refused.
    """
    source = latest_checkpoint(donor / CHECKPOINTS)
    if source is None:
        raise InputError(f"{donor} has no whole checkpoint that {folder} could go on from.")
    target = folder / CHECKPOINTS / source.name
    with writing(target) as unfinished:
        _copy(source, unfinished)
    for other in checkpoints(folder / CHECKPOINTS):
        if other != target:
            remove_folder(other)
    step = step_of(source)
    before = read_schedule(donor / SCHEDULE).until(step)
    schedule = Schedule(changes=(*before.changes, (step, dict(move.rates))), donor=move.donor)
    write_schedule(folder / SCHEDULE, schedule)


def _copy(source: Path, target: Path) -> None:
    """Copy the files below `source` into the unfinished folder `target`."""
    for name in disk().names(source):
        if disk().is_folder(source / name):
            disk().make_folder(Point.FOLDER_MADE, target / name)
            _copy(source / name, target / name)
        else:
            disk().fill(Point.CONTENT_WRITTEN, target / name, partial(shutil.copyfile, source / name))


def n_validations(folder: Path) -> int:
    """Validations of the run in `folder` up to its newest whole checkpoint."""
    checkpoint = latest_checkpoint(folder / CHECKPOINTS)
    if checkpoint is None:
        return 0
    return sum("validation" in line for line in read_lines(checkpoint / METRICS))
