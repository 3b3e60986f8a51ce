"""What a ranking is compared with: the ground truths, by name in `registry`.

fold.py runs (tasks, files, logs); every other module calculates.
"""

from utils.truth.registry import CHANGE, POOLED, REPAIR, TRUTHS, TruthKind

__all__ = ["CHANGE", "POOLED", "REPAIR", "TRUTHS", "TruthKind"]
