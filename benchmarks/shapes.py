"""Sizes of the synthetic folds; imports nothing, so that a process stays small with it."""

from dataclasses import dataclass

# The synthetic fold's name on disk: it takes the data set's column names.
DS, FOLD = "c100", 0


@dataclass(frozen=True)
class Shape:
    """Sizes of a fold; the defaults are ViT-Base on one fold of CIFAR-100.

    model : a model_type of utils.model.families, "vit" or "bert".
    """

    d: int = 768
    m: int = 3072
    classes: int = 100
    samples: int = 10_000
    layers: int = 12
    model: str = "vit"

    @property
    def n_weights(self) -> int:
        return 2 * self.m * self.d


VIT_BASE = Shape()
BERT_BASE = Shape(classes=2, model="bert")
