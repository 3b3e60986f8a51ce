"""What a ranking is compared with: the ground truths, by name in `registry`."""

from utils.truth.registry import CHANGE, POOLED, REPAIR, TRUTHS, TruthKind

__all__ = ["CHANGE", "POOLED", "REPAIR", "TRUTHS", "TruthKind"]
