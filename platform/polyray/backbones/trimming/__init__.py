"""Copies of backbones with fewer pieces of vocabulary, which read given texts as the full ones do."""

from polyray.backbones.trimming.backbone import Trimmed, trim

__all__ = ["Trimmed", "trim"]
