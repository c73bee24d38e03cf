"""Searchers: the ways to propose the next configuration of a sweep."""

from polyray.sweeps.searchers.grid import GridSearcher
from polyray.sweeps.searchers.random_draws import RandomSearcher
from polyray.sweeps.searchers.searcher import Search, Searcher, Trial

SEARCHERS: dict[str, type[Searcher]] = {
    "random": RandomSearcher,
    "grid": GridSearcher,
}

__all__ = ["SEARCHERS", "GridSearcher", "RandomSearcher", "Search", "Searcher", "Trial"]
