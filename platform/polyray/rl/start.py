"""The policy that reinforcement learning starts from: fresh, or trained before."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from polyray.envs.levels import EXPERT
from polyray.envs.missions import VOCABULARY
from polyray.errors import InputError
from polyray.modules.options import ModuleOptions, SkillOptions
from polyray.rl.options import PolicyOptions
from polyray.rl.policy import ModularPolicy, build_policy
from polyray.rl.policy_folder import load_policy
from polyray.routing import NewRow, RoutingOptions
from polyray.skills.spec import InventorySpec


def fresh_policy(
    options: PolicyOptions, levels: Sequence[str], modules: ModuleOptions, routing: RoutingOptions, seed: int
) -> ModularPolicy:
    """A policy of which nothing is trained; an expert's empty allocation becomes the paper's (Table 2).

    Raises:
        InputError: the options do not fit.
    """
    if vars(routing.options).get("allocation") == {}:
        routing = RoutingOptions.model_validate({"kind": routing.kind, "allocation": EXPERT})
    spec = InventorySpec(modules=SkillOptions(kind=modules.kind, options=modules.options), routing=routing)
    return build_policy(options, levels, spec, len(VOCABULARY), seed)


def continued_policy(
    folder: Path, levels: Sequence[str], rows: Mapping[str, Sequence[int]], seed: int, *, rows_only: bool
) -> ModularPolicy:
    """The policy in `folder` with a row for every level; rows: the skills of new levels where its allocation is given.

    Raises:
        InputError: there is no policy, `rows_only` asks for trained rows and the allocation is given, or nothing says
            which skills a new level uses.
    """
    policy = load_policy(folder, VOCABULARY)
    if rows_only and not policy.router.trains_rows:
        raise InputError(
            f"train=row trains rows of a learned routing; the skills in {folder} are routed by a fixed table."
        )
    generator = torch.Generator().manual_seed(seed)
    for name in levels:
        if name not in policy.router.tasks.names:
            policy.add_level(name, generator, NewRow(skills=tuple(rows.get(name, ()))))
    return policy


def parameter_counts(policy: ModularPolicy) -> Mapping[str, int]:
    """Numbers of parameters of the network, its skills and the routing."""
    return {
        "backbone": sum(tensor.numel() for tensor in policy.backbone_state().values()),
        "skills": sum(parameter.numel() for parameter in policy.inventory.parameters()),
        "routing": sum(parameter.numel() for parameter in policy.router.parameters()),
    }
