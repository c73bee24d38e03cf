"""Population based training: in every generation the worst trials take over the state of one of the best and change it.

Jaderberg et al. 2017 (arXiv:1711.09846), in generations: all trials of one train equally long, then all are compared.
A trial is its run folder; it takes over another's by a copy of its newest checkpoint, with rates of `exploring`.
"""

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from polyray.errors import InputError
from polyray.files import remove_folder, writing
from polyray.files.disk import Point, disk
from polyray.runs.checkpoint import checkpoints, latest_checkpoint, step_of
from polyray.runs.metrics import METRICS, append_synced, mend, read_lines
from polyray.runs.run import CHECKPOINTS
from polyray.sweeps.exploring import EXPLORERS, Exploration, Generation, Member, Move
from polyray.sweeps.options import SweepOptions
from polyray.sweeps.searchers.searcher import seed_of
from polyray.sweeps.space import Goal, Space
from polyray.training.schedule import RATES, SCHEDULE, Schedule, read_schedule, write_schedule

MOVES = "population.jsonl"  # in the sweep's folder: what every generation changed, written before it is done


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
    listed = [name for name, field in space.fields.items() if field.axis.whole]
    if options.scheduler == "pb2" and listed:
        raise InputError(
            f"sweep.scheduler=pb2 models rates between two ends (uniform, loguniform); {listed[0]} has none."
        )
    if options.trials < 2:
        raise InputError(f"A population has at least 2 trials, found sweep.trials={options.trials}.")


def moves(
    members: Sequence[Member], space: Space, goal: Goal, options: SweepOptions, history: Sequence[Generation]
) -> list[Move]:
    """The moves at the end of a generation: each of the worst takes over one of the best, drawn by the sweep's seed.

    Args:
        history: the generations before it, from the first one on.
    """
    ranked = sorted(members, key=lambda member: (-goal.sign * member.score, member.number))
    n_moved = min(max(1, int(len(ranked) * options.quantile)), len(ranked) // 2)
    best, worst = ranked[:n_moved], ranked[len(ranked) - n_moved :]
    explore, made = EXPLORERS[options.scheduler], list[Move]()
    for member in sorted(worst, key=lambda one: one.number):
        rng = random.Random(seed_of(options.seed, member.number, len(history) + 1))
        donor = rng.choice(best)
        until_now = [*history, Generation(members=members, moves=made)]
        exploration = Exploration(
            rates=donor.rates, history=until_now, space=space, goal=goal, resample=options.resample
        )
        made.append(Move(number=member.number, donor=donor.number, rates=explore(exploration, rng)))
    return made


def read_moves(sweep: Path) -> Iterator[tuple[list[Move], bool]]:
    """The moves of every generation that has ended, and whether all of them are done.

    Raises:
        InputError: the file was altered.
    """
    done = {line.get("done") for line in read_lines(sweep / MOVES)}
    for index, generation in enumerate(read_generations(sweep)):
        yield list(generation.moves), index in done


def read_generations(sweep: Path) -> Iterator[Generation]:
    """All generations that have ended, from the first one on.

    Raises:
        InputError: the file was altered.
    """
    file = sweep / MOVES
    for line in read_lines(file):
        if "moves" in line:
            try:
                made = [Move(**values) for values in line["moves"]]
                members = [Member(**values) for values in line["members"]]
            except (TypeError, KeyError) as error:
                raise InputError(f"{file} was altered: {error}.") from None
            yield Generation(members=members, moves=made)


def record_moves(sweep: Path, generation: int, members: Sequence[Member], made: Sequence[Move]) -> None:
    """Write down what a generation came to and changes, before it does; once this returns it is on the disk.

    Raises:
        StorageError: the disk refused.
    """
    _append(
        sweep,
        {
            "generation": generation,
            "members": [{"number": m.number, "score": m.score, "rates": dict(m.rates)} for m in members],
            "moves": [{"number": move.number, "donor": move.donor, "rates": dict(move.rates)} for move in made],
        },
    )


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
