"""Frozen networks that judge responses: BERTScore, a faithfulness critic, Q2; and all scores of a system together."""
