"""A cluster for the tests of agents, and algorithms that are stopped after a test."""

import os
import sys
from collections.abc import Callable, Iterator

import pytest

from polyray.cluster.rllib.algorithm import algorithm
from polyray.cluster.rllib.ppo import ModularPPO
from polyray.cluster.session import RaySession
from polyray.rl.settings import Agent


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # actors import test files
        with RaySession(None, tmp_path_factory.mktemp("logs")) as session:
            session.start()
            yield


@pytest.fixture
def build(cluster: None) -> Iterator[Callable[[Agent], ModularPPO]]:
    """Build algorithms; they are stopped after the test."""
    running: list[ModularPPO] = []

    def start(agent: Agent) -> ModularPPO:
        running.append(algorithm(agent))
        return running[-1]

    yield start
    for each in running:
        each.stop()
