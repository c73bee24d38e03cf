"""The share of a cluster that a trial takes, by what the job starts beside its own process."""

import pytest
import ray

from polyray.cluster.sweeping.resources import AHEAD, ahead, at_once, resources_of
from polyray.config import Section, load_config
from polyray.jobs import adapt, babyai, polytropon
from polyray.sweeps.options import SweepOptions

WAITING = {"memory": 1048576.0}  # no core: the group may want all there are
CASES: list[tuple[type[Section], list[str], list[dict[str, float]], int | None]] = [
    # config, overrides, bundles, trials at once on 8 cores and 2 GPUs
    (polytropon.Config, [], [{"CPU": 2.0, "GPU": 0.5}], None),
    (adapt.Config, [], [{"CPU": 2.0, "GPU": 0.5}], None),
    (polytropon.Config, ["workers.n=3"], [WAITING], 2),
    (polytropon.Config, ["workers.gpus=1"], [WAITING], 2),
    (polytropon.Config, ["workers.n=2", "workers.gpus=2"], [WAITING], 1),
    (babyai.Config, ["levels=[GoToLocal]"], [{"CPU": 2.0, "GPU": 0.5}], None),
    (
        babyai.Config,
        ["levels=[GoToLocal]", "workers.runners=2", "workers.learners=1", "workers.gpus=0.5"],
        [{"CPU": 2.0, "GPU": 0.5}, {"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 1.0, "GPU": 0.5}],
        None,
    ),
]


def test_a_trial_has_room_for_all_that_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 2.0})
    options = SweepOptions.model_validate({"searcher": "random", "cpus": 2, "gpus": 0.5})
    one = options.model_copy(update={"concurrent": 5})
    wrong = []
    for kind, overrides, bundles, room in CASES:
        base = load_config(kind, overrides=overrides)
        measured = (resources_of(base, options).bundles, at_once(base, options), at_once(base, one))
        if measured != (bundles, room, 5):
            wrong.append(f"{overrides}: {measured}")
    assert not wrong, "\n".join(wrong)


def test_trials_wait_ahead_of_the_room_unless_their_number_or_their_outcomes_matter() -> None:
    free, limited = (SweepOptions(searcher="random", concurrent=n) for n in (0, 3))
    answers = [ahead(options, learns) for options in (free, limited) for learns in (False, True)]
    assert answers == [AHEAD, None, None, None]
