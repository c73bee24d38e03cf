"""Pretrained networks, and tiny ones that need no download."""

from polyray.backbones.backbone import Backbone
from polyray.backbones.huggingface import BACKBONES, load_backbone

__all__ = ["BACKBONES", "Backbone", "load_backbone"]
