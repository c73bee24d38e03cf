"""The policy that a training starts from: fresh, or trained before and given new levels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from policy_cases import TINY, frames_of

from polyray.envs.levels import EXPERT
from polyray.envs.missions import VOCABULARY
from polyray.errors import InputError
from polyray.modules.lora import LoraOptions
from polyray.modules.options import ModuleOptions
from polyray.rl.policy import ModularPolicy
from polyray.rl.policy_folder import save_policy
from polyray.rl.start import continued_policy, fresh_policy, parameter_counts
from polyray.routing import ROUTERS, RoutingOptions

LORA = ModuleOptions(kind="lora", options=LoraOptions(rank=2))
KNOWN, NEW = ("GoToObj", "GoToRedBallGrey"), "GoToLocal"
FIELDS: Mapping[str, Mapping[str, object]] = {
    "polytropon": {"n_skills": 3, "sample": "task"}, "soft": {"n_skills": 3, "sample": "task"},
    "hard": {"n_skills": 3, "sample": "task"},
}  # fmt: skip
FOR_AGENTS = [name for name, router in ROUTERS.items() if router.by_task and not router.module_kinds]
ROWS = {"expert": {NEW: (0, 2)}}  # skills of the new level where the allocation is given
N_SKILLS = {"shared": 1, "private": 3, "expert": 8}  # with the new level; learned routers keep their three


def policy_with(routing: str) -> ModularPolicy:
    """A policy on the known levels whose skills all differ."""
    options = RoutingOptions.model_validate({"kind": routing, **FIELDS.get(routing, {})})
    policy = fresh_policy(TINY, KNOWN, LORA, options, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in [*policy.inventory.parameters(), *policy.router.parameters()]:
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return policy.eval()


def continued(folder: Path, levels: Sequence[str], routing: str, *, rows_only: bool = False) -> ModularPolicy:
    """The saved policy with rows for `levels`."""
    return continued_policy(folder, levels, ROWS.get(routing, {}), 3, rows_only=rows_only)


@pytest.mark.parametrize("routing", FOR_AGENTS)
def test_a_continued_policy_knows_the_new_level_and_plays_the_old_ones_bit_for_bit(
    routing: str, tmp_path: Path
) -> None:
    policy = policy_with(routing)
    save_policy(tmp_path / "skills", policy, VOCABULARY)
    grown = continued(tmp_path / "skills", (KNOWN[1], NEW), routing)
    assert grown.router.tasks.names == (*KNOWN, NEW)
    assert grown.inventory.n_skills == grown.router.n_skills == N_SKILLS.get(routing, 3)
    frames = frames_of([0, 1, 1], 2, 0)
    frames = type(frames)(**{**vars(frames), "memory": tuple(states.float() for states in frames.memory)})
    before, after = policy(frames), grown.eval()(frames)
    assert torch.equal(before.logits, after.logits) and torch.equal(before.values, after.values)
    new = grown(type(frames)(**{**vars(frames), "task": torch.full((3,), 2)}))
    assert torch.isfinite(new.logits).all()
    again = continued(tmp_path / "skills", (KNOWN[1], NEW), routing)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in grown.state_dict().items())


@pytest.mark.parametrize("routing", FOR_AGENTS)
def test_rows_alone_are_trained_where_rows_are_learned_and_refused_where_they_are_given(
    routing: str, tmp_path: Path
) -> None:
    save_policy(tmp_path / "skills", policy_with(routing), VOCABULARY)
    if ROUTERS[routing].trains_rows:
        assert continued(tmp_path / "skills", (NEW,), routing, rows_only=True).router.tasks.names == (*KNOWN, NEW)
    else:
        with pytest.raises(InputError, match="train=row trains rows of a learned routing"):
            continued(tmp_path / "skills", (NEW,), routing, rows_only=True)


def test_a_given_allocation_needs_the_skills_of_a_new_level(tmp_path: Path) -> None:
    save_policy(tmp_path / "skills", policy_with("expert"), VOCABULARY)
    with pytest.raises(InputError, match=f"needs the row of skills that the new task {NEW!r} uses"):
        continued_policy(tmp_path / "skills", (NEW,), {}, 0, rows_only=False)


def test_experts_of_whom_nothing_is_said_have_the_paper_s_allocation() -> None:
    table = policy_with("expert").router.allocation()
    assert table is not None
    rows = {name: row.nonzero()[:, 0].tolist() for name, row in zip(table.tasks, table.probabilities[0], strict=True)}
    assert rows == {name: list(EXPERT[name]) for name in KNOWN}


def test_parameters_are_counted_by_what_they_belong_to() -> None:
    policy = policy_with("polytropon")
    counts = parameter_counts(policy)
    n_sites = len(policy.inventory.sites)
    assert counts["routing"] == n_sites * len(KNOWN) * 3
    assert sum(counts.values()) == sum(parameter.numel() for parameter in policy.parameters())
