"""neuron / mean_act, act_variance: baselines that look at activations alone."""

import numpy as np

from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model.states import BLOCK
from utils.model.tail import blocks


def activation_variance(
    rows: np.ndarray, samples: np.ndarray, mean: np.ndarray, block: int = BLOCK
) -> np.ndarray:
    """Unbiased variance of each column of `rows` over `samples`, float32 (m,).

    mean : (m,), the column means over the same samples.
    """
    if len(samples) < 2:
        raise ValueError(f"a variance needs at least 2 samples, got {len(samples)}")
    total = np.zeros(rows.shape[1])
    for part in blocks(len(samples), block):
        centred = np.take(rows, samples[part], axis=0) - mean
        total += np.square(centred, out=centred).sum(axis=0, dtype=np.float64)
    return (total / (len(samples) - 1)).astype(np.float32)


def score_mean_act(evidence: Evidence) -> Scores:
    return Scores(evidence.mean_act)


def score_act_variance(evidence: Evidence) -> Scores:
    return Scores(activation_variance(evidence.states.a, evidence.neg, evidence.mean_act))


METHODS = (
    Method("neuron", "mean_act", 5, score_mean_act),
    Method("neuron", "act_variance", 5, score_act_variance),
)
