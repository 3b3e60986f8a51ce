"""neuron / mean_diff: how far the mean activation of failures is off (docs/definitions.md 13.2)."""

import numpy as np

from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores


def mean_difference(mean_neg: np.ndarray, mean_pos: np.ndarray) -> np.ndarray:
    """|mean of a_j over neg - mean of a_j over pos|, float32 (m,); higher is more suspicious.

    After the differential state of Ma, Liu, Lee, Zhang, Grama, "MODE: Automated
    Neural Network Model Debugging via State Differential Analysis and Input
    Selection", ESEC/FSE 2018, which compares heat maps of a layer's features for
    misclassified and for correct inputs. Deviations: theirs are weights of a
    softmax trained on those features; here they are means of the neurons.
    """
    return np.abs(mean_neg - mean_pos)


def score_mean_diff(evidence: Evidence) -> Scores:
    return Scores(mean_difference(evidence.mean_of("neg"), evidence.mean_of("pos")))


METHODS = (Method("neuron", "mean_diff", 6, score_mean_diff),)
