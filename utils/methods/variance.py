"""vdiff of neurons and weights, and combinations of it (docs/definitions.md 5.3 to 5.7)."""

import numpy as np
import torch

from utils import ranking
from utils.methods.evidence import Evidence
from utils.methods.method import Method, Scores
from utils.model.gradients import sample_blocks
from utils.model.states import BLOCK, States
from utils.model.tail import Tail, blocks
from utils.pieces import add_product, by_rows

# float32 holds every whole number up to here, so ranks can be stored as scores.
EXACT_FLOAT32 = 2**24


def v_scores(
    rows: np.ndarray, samples: np.ndarray, device: torch.device, block: int = BLOCK
) -> np.ndarray:
    """V_j = cov_jj + (1/(m-1)) sum_{i != j} |cov_ji| over `samples`, float32 (m,).

    Parameters
    ----------
    rows : float32 (S, m), activations of the repair split, may be memory-mapped
    samples : int64 (I,) with I >= 2; cov is the unbiased covariance
    """
    n = len(samples)
    if n < 2:
        raise ValueError(f"a covariance needs at least 2 samples, got {n}")
    parts = blocks(n, block)
    m = rows.shape[1]
    total = np.zeros(m)
    for part in parts:
        total += np.take(rows, samples[part], axis=0).sum(axis=0, dtype=np.float64)
    mean = torch.from_numpy((total / n).astype(rows.dtype)).to(device)
    cov = torch.zeros((m, m), dtype=mean.dtype, device=device)
    for part in parts:
        centred = torch.from_numpy(np.take(rows, samples[part], axis=0)).to(device)
        centred -= mean  # (b, m)
        add_product(cov, centred, centred)
    cov.div_(n - 1)
    variance = cov.diagonal().clone()
    others = cov.abs_().sum(dim=1) - variance.abs()
    return (variance + others / max(m - 1, 1)).cpu().numpy()


def vdiff(v_pos: np.ndarray, v_neg: np.ndarray) -> np.ndarray:
    """|V(pos) - V(neg)|, (m,); higher is more suspicious."""
    return np.abs(v_pos - v_neg)


def half_and_half(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """0.5 minmax(first) + 0.5 minmax(second), float32 (m,); higher is more suspicious."""
    scaled = 0.5 * ranking.minmax(first) + 0.5 * ranking.minmax(second)
    return scaled.astype(np.float32)


def weight_levels(before: np.ndarray, intermediate: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The smallest budget n at which weight / vdiff selects each weight, int32 (N,).

    With budget n the top floor(n m/d) intermediate neurons are joined with the
    top n before neurons (in W_bef) and the top n after neurons (in W_aft).

    Parameters
    ----------
    before, after : vdiff of u and of y, (d,)
    intermediate : vdiff of a, (m,)
    """
    d, m = len(before), len(intermediate)
    position = ranking.inverse(ranking.rank_by(intermediate)).astype(np.int64)  # 0-based
    # floor(n m/d) > position  <=>  n >= (position + 1) d/m
    level_mid = (-(-(position + 1) * d // m)).astype(np.int32)  # (m,)
    level_bef = ranking.inverse(ranking.rank_by(before)) + 1  # (d,)
    level_aft = ranking.inverse(ranking.rank_by(after)) + 1  # (d,)
    return ranking.flatten(
        np.maximum(level_mid[:, None], level_bef[None, :]),  # (m, d)
        np.maximum(level_aft[:, None], level_mid[None, :]),  # (d, m)
    )


def weight_vdiff(
    before: np.ndarray, intermediate: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Score float32 (N,) and ranking int32 (N,) of weight / vdiff.

    Lower levels first, inside a level by the sum of the two min-max scaled
    vdiffs. The score is a whole number that orders and ties as the pair
    (level, sum) does; only its order has a meaning.

    Raises
    ------
    ValueError : more distinct values than float32 has whole numbers (2**25 with the negative ones).
    """
    levels = weight_levels(before, intermediate, after)
    bef, mid, aft = (ranking.minmax(v.astype(np.float64)) for v in (before, intermediate, after))
    sums = ranking.flatten(
        mid[:, None] + bef[None, :],  # (m, d)
        aft[:, None] + mid[None, :],  # (d, m)
    )
    order, new = order_by_level(levels, sums)
    place = np.cumsum(new, dtype=np.int32)
    if place[-1] > 2 * EXACT_FLOAT32:
        raise ValueError(f"{place[-1]} distinct values do not fit float32 scores")
    score = np.empty(len(order), dtype=np.float32)
    score[order] = place[-1] // 2 - place
    return score, order.astype(np.int32)


def order_by_level(levels: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order by level ascending, then sum descending, then index.

    Level, a rounded sum and the index share one 64-bit integer, because numpy
    sorts integers several times faster than it argsorts; what the rounding
    leaves undecided is decided by the exact sums.

    Parameters
    ----------
    levels : int32 (N,), >= 0
    sums : float64 (N,), in [0, 2]

    Returns
    -------
    The order, int64 (N,), and bool (N,): does a new pair (level, sum) begin here?
    """
    index_bits = max(1, int(len(sums) - 1).bit_length())
    sum_bits = 64 - index_bits - int(levels.max()).bit_length()
    steps = (2 - sums) * (2.0 ** (sum_bits - 2))  # < 2**sum_bits
    keys = levels.astype(np.uint64) << np.uint64(sum_bits)
    keys |= steps.astype(np.uint64)
    keys <<= np.uint64(index_bits)
    keys |= np.arange(len(sums), dtype=np.uint64)
    keys.sort()
    order = (keys & np.uint64(2**index_bits - 1)).astype(np.int64)
    keys >>= np.uint64(index_bits)
    same = np.concatenate([[False], keys[1:] == keys[:-1]])
    undecided = np.flatnonzero(same | np.append(same[1:], False))
    if len(undecided):
        items = order[undecided]
        order[undecided] = items[np.lexsort((items, -sums[items], keys[undecided]))]
        same[undecided] &= sums[order[undecided]] == sums[order[undecided - 1]]
    return order, ~same


def neuron_and_gradient(
    grad_loss: np.ndarray, neuron_score: np.ndarray, d: int, n: int | None = None
) -> np.ndarray:
    """0.5 minmax(|grad_loss_w|) + 0.5 neuron_score_j(w), float32 (N,) (docs/definitions.md 5.7).

    With `n`, the neuron score is 0 outside its top n before the sum.
    """
    if n is not None:
        kept = np.zeros_like(neuron_score)
        top = ranking.rank_by(neuron_score)[:n]
        kept[top] = neuron_score[top]
        neuron_score = kept
    score = ranking.minmax(np.abs(grad_loss))
    score += ranking.spread(neuron_score, d)
    score *= 0.5
    return score


def v(evidence: Evidence, group: str, which: str) -> np.ndarray:
    """V over "neg" or "pos" of a neuron group: "u" (d,), "a" (m,) or "y" (d,)."""
    return evidence.once_of(
        which,
        ("variance.v", group),
        lambda samples: v_scores(rows_of(evidence, group), samples, evidence.tail.device),
    )


def rows_of(evidence: Evidence, group: str) -> np.ndarray:
    """States of every sample, (S, d) or (S, m)."""
    if group == "u":
        return evidence.once_per_fold(
            "variance.u", lambda: normalised_h(evidence.tail, evidence.states)
        )
    return {"a": evidence.states.a, "y": evidence.states.y}[group]


def normalised_h(tail: Tail, states: States) -> np.ndarray:
    """u of every sample, (S, d): as small as the cache of h."""
    parts = sample_blocks(states, np.arange(states.n_samples), "h", tail.device)
    return np.concatenate([by_rows(tail.ffn_input, h).cpu().numpy() for (h,) in parts])


def vdiff_of(evidence: Evidence, group: str) -> np.ndarray:
    return vdiff(v(evidence, group, "pos"), v(evidence, group, "neg"))


def score_neuron_vdiff(evidence: Evidence) -> Scores:
    v_pos, v_neg = v(evidence, "a", "pos"), v(evidence, "a", "neg")
    return Scores(vdiff(v_pos, v_neg), extras={"vscore_cor": v_pos, "vscore_mis": v_neg})


def score_vdiff_mean_act(evidence: Evidence) -> Scores:
    score = half_and_half(vdiff_of(evidence, "a"), evidence.mean_act)
    return Scores(score, extras={"mean_act_mis": evidence.mean_act})


def score_weight_vdiff(evidence: Evidence) -> Scores:
    score, order = weight_vdiff(*(vdiff_of(evidence, group) for group in "uay"))
    return Scores(score, ranking=order)


def score_vdiff_mean_act_grad(evidence: Evidence) -> Scores:
    neuron_score = half_and_half(vdiff_of(evidence, "a"), evidence.mean_act)
    score = neuron_and_gradient(evidence.grad_loss, neuron_score, evidence.tail.d)
    return Scores(score, extras={"grad_loss": evidence.grad_loss})


METHODS = (
    Method("neuron", "vdiff", 6, score_neuron_vdiff),
    Method("neuron", "vdiff+mean_act", 6, score_vdiff_mean_act),
    Method("weight", "vdiff", 6, score_weight_vdiff),
    Method(
        "weight",
        "vdiff+mean_act+grad_loss",
        6,
        score_vdiff_mean_act_grad,
        with_budget=neuron_and_gradient,
        budget_reads=(("extra", "grad_loss"), ("score", "neuron", "vdiff+mean_act")),
    ),
)
