"""Searchers: the ways to propose the next configuration of a sweep."""

from polyray.sweeps.searchers.grid import GridSearcher
from polyray.sweeps.searchers.random_draws import RandomSearcher
from polyray.sweeps.searchers.searcher import Search, Searcher, Trial
from polyray.sweeps.searchers.tpe import TpeSearcher

SEARCHERS: dict[str, type[Searcher]] = {
    "random": RandomSearcher,
    "grid": GridSearcher,
    "tpe": TpeSearcher,
}

__all__ = ["SEARCHERS", "GridSearcher", "RandomSearcher", "Search", "Searcher", "TpeSearcher", "Trial"]
