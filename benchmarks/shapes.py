"""Sizes of the synthetic folds; imports nothing, so that a process stays small with it."""

from dataclasses import dataclass

# The synthetic fold's name on disk: it takes the data set's column names.
DS, FOLD = "c100", 0


@dataclass(frozen=True)
class Shape:
    """Sizes of a fold; the defaults are ViT-Base on one fold of CIFAR-100."""

    d: int = 768
    m: int = 3072
    classes: int = 100
    samples: int = 10_000
    layers: int = 12

    @property
    def n_weights(self) -> int:
        return 2 * self.m * self.d


VIT_BASE = Shape()
