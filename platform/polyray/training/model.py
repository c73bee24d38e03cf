"""A backbone with an inventory and a router, as one module with a loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyray.backbones.backbone import Backbone, pooled
from polyray.errors import InputError
from polyray.lookup import lookup
from polyray.modules.attach import Inventory, attach
from polyray.modules.layout import Layout
from polyray.modules.options import ModuleOptions
from polyray.modules.presets import SHARED_INPUTS, site_patterns
from polyray.objectives.batches import IGNORED, Batch
from polyray.routing import ROUTERS, LearnedRouter, Router, RoutingOptions
from polyray.routing.prior import IbpOptions, ibp_log_prior

SHARPNESS = 20.0  # cosines are multiplied by it before the softmax, as sentence-transformers does


@dataclass(frozen=True, kw_only=True)
class Form:
    """What an inventory on a backbone looks like: enough to build it again and load its tensors."""

    module: str
    modules: ModuleOptions
    sites: tuple[str, ...]
    routing: str
    router: RoutingOptions


class Modular(nn.Module):
    """forward(batch) is the mean loss of the batch under its tasks' mix.

    Attributes:
        backbone, inventory, router; prior: the IBP term of the loss.
    """

    def __init__(self, backbone: Backbone, inventory: Inventory, router: Router, prior: IbpOptions) -> None:
        super().__init__()
        self.backbone, self.prior = backbone, prior
        self.network, self.inventory, self.router = backbone.network, inventory, router

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Call it inside `mixing(model.inventory)`, and `backward()` too; the router's noise comes from `generator`."""
        self.inventory.set_mix(self.router(batch.tasks, generator))
        loss = objective(self.backbone, batch)
        if self.prior.coefficient and isinstance(self.router, LearnedRouter):
            loss = loss - self.prior.coefficient * ibp_log_prior(self.router.logits, self.prior)
        return loss


def build(
    backbone: Backbone, form: Form, tasks: Sequence[str], prior: IbpOptions, generator: torch.Generator
) -> Modular:
    """A fresh inventory and router of the given form on `backbone`.

    Raises:
        InputError: the form does not fit the backbone.
    """
    patterns = site_patterns(backbone.family, form.sites)
    layout = Layout.of(backbone.network, patterns, form.modules.n_splits)
    router = lookup(ROUTERS, form.routing, "router")(tasks, layout, form.router, generator)
    if form.routing == "hyperformer" and form.module != "lora":
        raise InputError(f"routing.kind=hyperformer generates LoRA modules; found modules.kind={form.module}.")
    shared = SHARED_INPUTS.get(backbone.family, ())
    inventory = attach(backbone.network, patterns, form.module, router.n_skills, form.modules, generator, shared)
    return Modular(backbone, inventory, router, prior)


def objective(backbone: Backbone, batch: Batch) -> Tensor:
    """Mean cross-entropy of the answers: per written token, or per example where one is chosen."""
    if batch.labels is not None:
        output = backbone.model(input_ids=batch.tokens, attention_mask=batch.mask, labels=batch.labels)
        loss: Tensor = output.loss
        return loss
    assert batch.chosen is not None
    return functional.cross_entropy(scores(backbone, batch), batch.chosen, ignore_index=IGNORED)


def scores(backbone: Backbone, batch: Batch) -> Tensor:
    """[B, C], how well an encoder likes each answer; -inf where an answer is not among an example's candidates."""
    assert batch.anchors is not None and batch.allowed is not None
    hidden = backbone.model(input_ids=batch.tokens, attention_mask=batch.mask).last_hidden_state
    cosines = pooled(hidden, batch.mask) @ batch.anchors.to(hidden.dtype).T
    return (SHARPNESS * cosines).float().masked_fill(~batch.allowed, float("-inf"))
