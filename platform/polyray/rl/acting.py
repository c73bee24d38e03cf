"""The policy for rollouts: weights merged once, every mission read once."""

from dataclasses import replace

import torch
from torch import Tensor

from polyray.modules.mix import Rows
from polyray.rl.frames import Frames, Outputs, grouped
from polyray.rl.network import Modulation, Policy, Tables
from polyray.routing.names import distinct

Key = tuple[int, bytes]


class ActingPolicy:
    """What a policy does as long as its parameters stay: frames -> outputs, without gradients.

    tables: of the network, with a row for each distinct mixture. rows: of all tasks. Missions seen once are remembered,
    so that a step of a rollout reads only new ones.
    """

    def __init__(self, network: Policy, tables: Tables, rows: Rows) -> None:
        self._network, self._all, self._row_of_task = network, tables, rows.of
        self._tables, self._rows, self._kept = tables, rows, list(range(rows.n_rows))
        self._task: Tensor | None = None
        self._read: dict[Key, int] = {}
        self._modulations: list[Modulation] = []
        self._mission = torch.empty(0, 0, dtype=torch.uint8)  # of each environment when it was last here
        self._of = torch.empty(0, dtype=torch.long)  # and that mission's place among the modulations

    @torch.no_grad()
    def __call__(self, frames: Frames) -> Outputs:
        """The policy's outputs."""
        self._take_place(frames.task)
        if frames.fresh.shape[1] > 1:
            return self._network.run(frames, self._tables, self._rows)
        together = self._rows.gather(self._look_up(frames.mission[:, 0]))  # [rows, most]
        missions = grouped(together)
        chosen = together.view(-1)[missions.first.view(-1)]
        modulations = [(factor[chosen], summand[chosen]) for factor, summand in self._modulations]
        return self._network.act(frames, self._tables, self._rows, modulations, missions.of)

    def _take_place(self, task: Tensor) -> None:
        """Choose the rows that the environments' tasks need."""
        if self._task is not None and torch.equal(task, self._task):
            return
        rows = [self._row_of_task[number] for number in task.tolist()]
        kept, places = distinct(rows)
        self._task, self._rows = task.clone(), Rows(places, len(kept), task.device)
        self._kept, self._tables = kept, _chosen(self._all, kept)
        self._mission = self._mission[:0]

    def _look_up(self, mission: Tensor) -> Tensor:
        """Where the modulation of each environment's mission stands: uint8 [B, L] -> int64 [B]."""
        if self._mission.shape != mission.shape:
            self._mission, self._of = (
                torch.zeros_like(mission),
                torch.zeros(len(mission), dtype=torch.long).to(mission.device),
            )
            changed = torch.arange(len(mission), device=mission.device)
        else:
            changed = (mission != self._mission).any(1).nonzero()[:, 0]
        if len(changed):
            tokens = mission[changed]
            keys = [
                (self._kept[self._rows.of[place]], words.tobytes())
                for place, words in zip(changed.tolist(), tokens.cpu().numpy(), strict=True)
            ]
            self._learn({key: words for key, words in zip(keys, tokens, strict=True) if key not in self._read})
            self._of[changed] = torch.tensor([self._read[key] for key in keys], device=mission.device)
            self._mission[changed] = tokens
        return self._of

    def _learn(self, new: dict[Key, Tensor]) -> None:
        """Read missions that nobody has had yet."""
        if not new:
            return
        tokens = torch.stack(list(new.values()))
        kept, places = distinct([row for row, _ in new])
        rows = Rows(places, len(kept), tokens.device)
        tokens = rows.gather(tokens[:, : max(1, int((tokens != 0).sum(1).max()))])
        found = self._network.modulations(tokens, _chosen(self._all, kept))
        flat = [tuple(rows.scatter(part.unflatten(0, tokens.shape[:2])) for part in pair) for pair in found]
        old = self._modulations or [(factor[:0], summand[:0]) for factor, summand in flat]
        for key in new:
            self._read[key] = len(self._read)
        self._modulations = [
            (torch.cat([known[0], added[0]]), torch.cat([known[1], added[1]]))
            for known, added in zip(old, flat, strict=True)
        ]


def _chosen(tables: Tables, kept: list[int]) -> Tables:
    """The tables of some rows only."""
    rows = tables.words.shape[0]
    if kept == list(range(rows)):
        return tables
    index = torch.tensor(kept, device=tables.words.device)

    def pick(tensor: Tensor) -> Tensor:
        return tensor if len(tensor) == 1 else tensor.index_select(0, index)

    return replace(
        tables, weights={name: pick(weight) for name, weight in tables.weights.items()},
        tiles=pick(tables.tiles), words=pick(tables.words), heads=(pick(tables.heads[0]), pick(tables.heads[1])),
    )  # fmt: skip
