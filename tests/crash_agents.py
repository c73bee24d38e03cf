"""A training of an agent that takes less than a second, in one process and without Ray, for disks that fail."""

from pathlib import Path

import pytest
import ray
from crash_scenarios import QUIET, a_plain_report

from polyray.cluster.inside import OwnProcess
from polyray.cluster.launch import run_in
from polyray.config import load_config
from polyray.jobs import babyai
from polyray.runs.folder import RunFolder

ITERATION = 16  # frames
LOSSES = ("skills/skill-0/card.json", "ticket/inventory/inventory.json", "cloning.json")  # of a finished run
AGENTS = (
    "levels=[GoToObjS4]", "training.environments=4", "training.rollout=4", "training.recurrence=4", "training.batch=16",
    "training.epochs=1", "training.save_every=1", f"training.frames={4 * ITERATION}", f"ticket.frames={ITERATION}",
    "training.keep=best", "training.lr=1e-2", "cloning.episodes=2", "cloning.epochs=1", "evaluation.every=1",
    "evaluation.episodes=2", "evaluation.dev_episodes=2", "evaluation.videos=1", "routing.n_skills=2",
    "policy.embedding=4", "policy.channels=4", "policy.mission=4", "policy.hidden=4",
)  # fmt: skip


def agents(out: Path) -> None:
    """Train as `polyray run babyai` does: imitation, search for a ticket, training; players and learner are local.

    RLlib puts weights into Ray's store for remote players even where there are none; here they stay where they are.
    """
    config = load_config(babyai.Config, overrides=AGENTS)
    folder = RunFolder(path=out, job="babyai", config=config, address=None)
    with a_plain_report(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "put", lambda value: value)
        run_in(folder, babyai.JOB, QUIET, cluster=OwnProcess())
    assert not ray.is_initialized()
