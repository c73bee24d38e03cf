"""Population based training on Ray Tune: pieces of training, one generation after the other.

A population may be larger than the cluster: a trial pauses after each generation with a checkpoint. Every generation is
decided once all trials have ended theirs, by the sweep's seed, so that a sweep that was killed ends like any other.
"""

from pathlib import Path
from typing import Any

from polyray.cluster.sweeping.searcher import JournalSearcher
from polyray.runs.checkpoint import latest_checkpoint, step_of
from polyray.runs.metrics import METRICS, read_lines
from polyray.runs.run import CHECKPOINTS
from polyray.sweeps.exploring import Member, Move
from polyray.sweeps.folder import SweepFolder
from polyray.sweeps.goals import value_along
from polyray.sweeps.journal import Entry
from polyray.sweeps.options import goals_of
from polyray.sweeps.population import (
    check_population,
    moves,
    n_validations,
    read_generations,
    read_moves,
    record_done,
    record_moves,
    take_over,
)
from polyray.sweeps.rows import ENDED
from polyray.sweeps.searchers import Searcher
from polyray.sweeps.trials import TrialRows
from polyray.training.schedule import SCHEDULE, read_schedule


class PopulationSearcher(JournalSearcher):
    """Gives every trial of a population its piece of each generation, and lets the worst take over the best between."""

    def __init__(self, sweep: SweepFolder, rows: TrialRows, searcher: Searcher, **more: Any) -> None:
        """A searcher for one start of a sweep; see `JournalSearcher`.

        Raises:
            InputError: the space has a field that cannot change in training.
        """
        super().__init__(sweep, rows, searcher, **more)
        check_population(sweep.space, sweep.options)
        self._goal = goals_of(sweep.space, sweep.options)[0]
        made = list(read_moves(sweep.path))
        self._generation = len(made)
        if made and not made[-1][1]:
            self._move(made[-1][0], self._generation - 1)
        self._again.clear()
        self._pieces = self._left()

    @property
    def _until(self) -> int:
        return (self._generation + 1) * self._sweep.options.interval

    @property
    def _must_wait(self) -> bool:
        return bool(self._live)

    def _next(self) -> Entry | None:
        if len(self._trials) < self._sweep.options.trials:
            entry = super()._next()
            if entry is not None:
                return entry
        while True:
            if self._pieces:
                return self._pieces.pop(0)
            if self._live:
                return None
            self._pieces = self._left()  # a piece whose process died without an end
            if not self._pieces and not self._end_generation():
                return None

    def _left(self) -> list[Entry]:
        """The trials whose generation has not ended."""
        return [entry for entry in self._open() if n_validations(self._folder(entry.number)) < self._until]

    def _open(self) -> list[Entry]:
        trials = [trial for trial in self._trials if trial.state not in ENDED]
        return [Entry(number=trial.number, fields=trial.fields) for trial in trials]

    def _end_generation(self) -> bool:
        """Let the worst take over the best, and begin the next generation; False: no trial is left."""
        entries = self._open()
        if not entries:
            return False
        members = [self._member(entry) for entry in entries]
        options = self._sweep.options
        history = list(read_generations(self._sweep.path))
        made = moves(members, self._sweep.space, self._goal, options, history) if len(members) > 1 else []
        record_moves(self._sweep.path, self._generation, members, made)
        self._move(made, self._generation)
        self._generation += 1
        self._pieces = self._left()
        return True

    def _move(self, made: list[Move], generation: int) -> None:
        for move in made:
            take_over(self._folder(move.number), self._folder(move.donor), move)
        record_done(self._sweep.path, generation)

    def _member(self, entry: Entry) -> Member:
        """A trial at the end of its generation, as its newest checkpoint tells it."""
        folder = self._folder(entry.number)
        checkpoint = latest_checkpoint(folder / CHECKPOINTS)
        assert checkpoint is not None, "its generation has ended"
        scores = [value_along(line, self._goal) for line in read_lines(checkpoint / METRICS)]
        score = [value for value in scores if value is not None][-1]
        rates = read_schedule(folder / SCHEDULE).rates(step_of(checkpoint))
        return Member(number=entry.number, score=score, rates=rates)

    def _folder(self, number: int) -> Path:
        return self._sweep.folders(number)[0]
