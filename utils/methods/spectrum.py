"""neuron / ochiai, tarantula, dstar: spectrum-based suspiciousness (docs/definitions.md 13.1)."""

import numpy as np

from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model.states import BLOCK
from utils.model.tail import blocks


def active_counts(rows: np.ndarray, samples: np.ndarray, block: int = BLOCK) -> np.ndarray:
    """In how many of `samples` each neuron is active, a_j > 0: int64 (m,).

    rows : float32 (S, m), activations of the repair split, may be memory-mapped
    """
    total = np.zeros(rows.shape[1], dtype=np.int64)
    for part in blocks(len(samples), block):
        total += np.count_nonzero(np.take(rows, samples[part], axis=0) > 0, axis=0)
    return total


def ochiai(failed: np.ndarray, passed: np.ndarray, n_failed: int) -> np.ndarray:
    """af/√((af + nf)(af + as)), float32 (m,) in [0, 1]; higher is more suspicious.

    Eniser, Gerasimou, Sen, "DeepFault: Fault Localization for Deep Neural
    Networks", FASE 2019, table 1; 0/0 counts as 0.

    Parameters
    ----------
    failed, passed : af and as, int64 (m,), `active_counts` over neg and pos
    n_failed : af + nf, the number of samples in neg
    """
    return over(failed, np.sqrt(n_failed * (failed + passed))).astype(np.float32)


def tarantula(failed: np.ndarray, passed: np.ndarray, n_failed: int, n_passed: int) -> np.ndarray:
    """(af/(af + nf))/(af/(af + nf) + as/(as + ns)), float32 (m,) in [0, 1].

    DeepFault, table 1; 0/0 counts as 0, so a neuron that is never active comes
    last. Higher is more suspicious. Parameters as of `ochiai`; n_passed : as + ns.
    """
    share_failed, share_passed = failed / n_failed, passed / n_passed
    return over(share_failed, share_failed + share_passed).astype(np.float32)


def dstar(failed: np.ndarray, passed: np.ndarray, n_failed: int) -> np.ndarray:
    """af³/(as + nf), a divisor of 0 counting as 1/2, float32 (m,); higher is more suspicious.

    DeepFault, table 1, with its exponent of 3. Parameters as of `ochiai`.
    """
    divisor = passed + (n_failed - failed)
    return (failed.astype(np.float64) ** 3 / np.maximum(divisor, 0.5)).astype(np.float32)


def over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part/whole, 0/0 counting as 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def active(evidence: Evidence, which: str) -> np.ndarray:
    """`active_counts` over "neg" or "pos", (m,)."""
    return evidence.once_of(
        which, "spectrum.active", lambda samples: active_counts(evidence.states.a, samples)
    )


def score_ochiai(evidence: Evidence) -> Scores:
    return Scores(ochiai(active(evidence, "neg"), active(evidence, "pos"), len(evidence.neg)))


def score_tarantula(evidence: Evidence) -> Scores:
    counts = active(evidence, "neg"), active(evidence, "pos")
    return Scores(tarantula(*counts, len(evidence.neg), len(evidence.pos)))


def score_dstar(evidence: Evidence) -> Scores:
    return Scores(dstar(active(evidence, "neg"), active(evidence, "pos"), len(evidence.neg)))


METHODS = (
    Method("neuron", "ochiai", 6, score_ochiai),
    Method("neuron", "tarantula", 6, score_tarantula),
    Method("neuron", "dstar", 6, score_dstar),
)
