"""Slow float64 references: formulas written as loops and autograd, independent of utils."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

ACTIVATIONS = {
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "relu": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
}


def relative_error(actual, expected):
    """Largest difference, as a share of the largest expected value."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    return np.abs(actual - expected).max() / np.abs(expected).max()


def minmax(values):
    values = np.asarray(values, dtype=np.float64)
    width = values.max() - values.min()
    return np.zeros_like(values) if width == 0 else (values - values.min()) / width


# The network behind `h`


@dataclass(frozen=True)
class Net:
    """The tail of the ViT in float64; `weights` by the names of the fields of `Tail`."""

    weights: dict[str, torch.Tensor]
    activation: str
    eps: float

    def norm(self, x, prefix):
        centred = x - x.mean(dim=1, keepdim=True)
        deviation = torch.sqrt((centred**2).mean(dim=1, keepdim=True) + self.eps)
        return (
            centred / deviation * self.weights[f"{prefix}_weight"] + self.weights[f"{prefix}_bias"]
        )

    def u(self, h):
        return self.norm(h, "ln")

    def a(self, h, w_bef=None):
        w_bef = self.weights["w_bef"] if w_bef is None else w_bef
        return ACTIVATIONS[self.activation](self.u(h) @ w_bef.T + self.weights["b_bef"])

    def o(self, a, w_aft=None):
        w_aft = self.weights["w_aft"] if w_aft is None else w_aft
        return a @ w_aft.T + self.weights["b_aft"]

    def logits(self, y):
        return self.norm(y, "final_ln") @ self.weights["head_weight"].T + self.weights["head_bias"]

    def probability(self, h, a, labels):
        """Softmax probability of the true class, (S,)."""
        exponentials = torch.exp(self.logits(h + self.o(a)))
        return exponentials[range(len(labels)), labels] / exponentials.sum(dim=1)


def flat(w_bef, w_aft):
    """Canonical order, weight by weight."""
    return np.array(
        [float(w) for row in w_bef for w in row] + [float(w) for row in w_aft for w in row]
    )


def mean_loss_gradient(net, h, labels):
    """Mean gradient of the cross-entropy, by autograd through the whole tail, (N,)."""
    w_bef, w_aft = (net.weights[k].clone().requires_grad_(True) for k in ("w_bef", "w_aft"))
    logits = net.logits(h + net.o(net.a(h, w_bef), w_aft))
    chosen = logits[range(len(labels)), labels]
    loss = (torch.logsumexp(logits, dim=1) - chosen).mean()
    return flat(*torch.autograd.grad(loss, [w_bef, w_aft]))


def fisher(net, h, labels):
    """Mean over samples of each squared gradient, a backward pass per sample, (N,)."""
    each = [mean_loss_gradient(net, h[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
    return sum(gradient**2 for gradient in each) / len(labels)


def forward_impact(net, h):
    """FI_w of docs/definitions.md 5.5 through explicit (samples, out, in) tensors, (N,)."""
    a = net.a(h).detach().requires_grad_(True)
    o = net.o(a)
    total = net.logits(h + o).sum()
    grad_a, grad_o = torch.autograd.grad(total, [a, o])
    matrices = []
    for x, weight, grad in (
        (net.u(h), net.weights["w_bef"], grad_a),
        (a.detach(), net.weights["w_aft"], grad_o),
    ):
        product = (x[:, None, :] * weight[None, :, :]).abs()  # (S, out, in)
        forward = zero_over_zero(product, product.sum(dim=2, keepdim=True)).mean(dim=0)
        backward = zero_over_zero(grad.abs(), grad.abs().sum(dim=1, keepdim=True)).mean(dim=0)
        matrices.append(forward * backward[:, None])
    return flat(*matrices)


def zero_over_zero(part, whole):
    return torch.where(whole == 0, torch.zeros_like(part), part / whole)


def arachne(net, neg, pos):
    """GL, FI and the score of docs/definitions.md 5.5, each (N,); sets are (h, labels)."""
    gl = np.abs(mean_loss_gradient(net, *neg)) / (1 + np.abs(mean_loss_gradient(net, *pos)))
    fi = forward_impact(net, neg[0]) / (1 + forward_impact(net, pos[0]))
    return gl, fi, 0.5 * minmax(gl) + 0.5 * minmax(fi)


def pareto_front(first, second):
    """Points that no other point dominates, both maximised, in O(N^2)."""
    points = list(zip(first, second, strict=True))
    return [
        i
        for i, p in enumerate(points)
        if not any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in points)
    ]


def integrated_gradients(net, h, labels, points):
    """Score (m,) and completeness gap (S,): autograd of P_true at every point of the path."""
    a = net.a(h).detach()
    gradient = torch.zeros_like(a)
    for t in range(1, points + 1):
        at = (t / points * a).requires_grad_(True)
        gradient += torch.autograd.grad(net.probability(h, at, labels).sum(), at)[0]
    ig = (a * gradient / points).numpy()
    change = net.probability(h, a, labels) - net.probability(h, torch.zeros_like(a), labels)
    return ig.mean(axis=0), np.abs(ig.sum(axis=1) - change.numpy())


def gradient_times_activation(net, h, labels):
    """docs/definitions.md 13.3 by autograd, (m,)."""
    a = net.a(h).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(cross_entropy(net, h, a, labels).sum(), a)
    return (a * gradient).detach().mean(dim=0).abs().numpy()


def expected_gradients(net, h, labels, base, points):
    """docs/definitions.md 13.5 with one baseline a sample: signed (I, m); base: (I, m)."""
    step = net.a(h).detach() - base
    gradient = torch.zeros_like(step)
    for t in range(1, points + 1):
        at = (base + (t - 0.5) / points * step).requires_grad_(True)
        gradient += torch.autograd.grad(net.probability(h, at, labels).sum(), at)[0]
    return (step * gradient / points).numpy()


# Setting one neuron to a value


def cross_entropy(net, h, a, labels):
    """Loss of each sample with the neurons `a`, (S,)."""
    logits = net.logits(h + net.o(a))
    return torch.logsumexp(logits, dim=1) - logits[range(len(labels)), labels]


def mean_loss_with(net, h, labels, j, value):
    """Mean loss where neuron j has `value` in every sample, the others as they are."""
    a = net.a(h).clone()
    a[:, j] = value
    return float(cross_entropy(net, h, a, labels).mean())


def zero_out(net, h, labels):
    """docs/definitions.md 13.4, neuron by neuron, (m,)."""
    base = float(cross_entropy(net, h, net.a(h), labels).mean())
    m = len(net.weights["b_bef"])
    return [abs(mean_loss_with(net, h, labels, j, 0.0) - base) for j in range(m)]


def care(net, h, labels, everyone, count=8):
    """docs/definitions.md 13.4, neuron by neuron and value by value, (m,); everyone: h of all."""
    found = []
    for j, column in enumerate(net.a(everyone).T.tolist()):
        step = (max(column) - min(column)) / count
        effects = [
            mean_loss_with(net, h, labels, j, min(column) + (k + 0.5) * step) for k in range(count)
        ]
        mean = sum(effects) / count
        found.append(sum(abs(effect - mean) for effect in effects) / count)
    return found


def learn_mask(net, neg, pos, steps):
    """s of docs/definitions.md 13.6 by torch's Adam and autograd, (m,); sets are (h, labels)."""
    s = torch.ones(len(net.weights["b_bef"]), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([s], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        losses = [cross_entropy(net, h, net.a(h) * s, labels).mean() for h, labels in (neg, pos)]
        (sum(losses) + (s - 1).abs().mean()).backward()
        optimizer.step()
    return s.detach().numpy()


# Variance of neurons


def v_scores(rows):
    """V_j of docs/definitions.md 5.3 from numpy's covariance, entry by entry."""
    rows = np.asarray(rows, dtype=np.float64)
    m = rows.shape[1]
    cov = np.atleast_2d(np.cov(rows, rowvar=False, ddof=1))
    return np.array(
        [
            cov[j, j] + sum(abs(cov[j, i]) for i in range(m) if i != j) / max(m - 1, 1)
            for j in range(m)
        ]
    )


def top(values, n):
    """The n highest, equal ones by ascending index."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))[:n]


def vdiff_selection(before, middle, after, n):
    """The weights that weight / vdiff selects with budget n, as canonical indices."""
    d, m = len(before), len(middle)
    neurons = top(middle, n * m // d)
    chosen = {j * d + i for j in neurons for i in top(before, n)}
    return chosen | {m * d + i * m + j for i in top(after, n) for j in neurons}


def vdiff_keys(before, middle, after):
    """(level, minus the sum of the scaled vdiffs) of every weight: ascending = most suspicious."""
    d, m = len(before), len(middle)
    level = {}
    for n in range(d, 0, -1):
        level.update(dict.fromkeys(vdiff_selection(before, middle, after, n), n))
    bef, mid, aft = minmax(before), minmax(middle), minmax(after)
    sums = [mid[j] + bef[i] for j in range(m) for i in range(d)]
    sums += [aft[i] + mid[j] for i in range(d) for j in range(m)]
    return [(level[w], -sums[w]) for w in range(2 * m * d)]


# Spectra and means of failing and passing samples


def spectra(neg, pos):
    """ochiai, tarantula and dstar of docs/definitions.md 13.1, sample by sample, each (m,)."""
    found = {"ochiai": [], "tarantula": [], "dstar": []}
    for j in range(neg.shape[1]):
        af = sum(bool(row[j] > 0) for row in neg)
        passing = sum(bool(row[j] > 0) for row in pos)
        nf, ns = len(neg) - af, len(pos) - passing
        root = math.sqrt((af + nf) * (af + passing))
        share_f, share_s = af / (af + nf), passing / (passing + ns)
        found["ochiai"].append(af / root if root else 0)
        found["tarantula"].append(share_f / (share_f + share_s) if share_f + share_s else 0)
        found["dstar"].append(af**3 / (passing + nf if passing + nf else 0.5))
    return found


# Metrics of one ranking without ties


def orders(scores) -> Iterator[tuple[int, ...]]:
    """Every ranking that the scores allow: all permutations inside groups of equal scores."""
    groups = [
        [i for i, s in enumerate(scores) if s == value]
        for value in sorted(set(scores), reverse=True)
    ]
    for parts in itertools.product(*(itertools.permutations(g) for g in groups)):
        yield tuple(itertools.chain.from_iterable(parts))


def shuffled_inside(order, stratum) -> Iterator[tuple[int, ...]]:
    """Every ranking with the matrices at the same positions as in `order`."""
    members = [[i for i in order if stratum[i] == s] for s in (0, 1)]
    for first, second in itertools.product(*(itertools.permutations(g) for g in members)):
        sources = (iter(first), iter(second))
        yield tuple(next(sources[stratum[i]]) for i in order)


def positives(gain, wanted):
    """Items whose group of equal gains, not 0, fits whole into the first `wanted`."""
    return {i for i, g in enumerate(gain) if g > 0 and sum(x >= g for x in gain) <= wanted}


@cache
def in_top(gain, k):
    """Share of all orders of the tied gains (a tuple) that put each item among the first k."""
    firsts = [order[:k] for order in orders(gain)]
    return [sum(i in first for first in firsts) / len(firsts) for i in range(len(gain))]


def dcg(gains):
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))


def at_k(order, gain, wanted, k):
    """The metrics @K of one ranking, each from its definition."""
    positive, first = positives(gain, wanted), order[:k]
    hits = len(positive & set(first))
    precision, recall = hits / k, hits / len(positive)
    member = in_top(tuple(gain), k)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "overlap": sum(member[i] for i in first) / k,
        "lift": precision / (len(positive) / len(gain)),
        "ndcg": dcg([gain[i] for i in first]) / dcg(sorted(gain, reverse=True)[:k]),
        "mass": sum(gain[i] for i in first) / sum(gain),
    }


def whole(order, gain, wanted):
    """The metrics of one whole ranking without ties that average over ties."""
    positive = positives(gain, wanted)
    ranks = [place for place, i in enumerate(order, 1) if i in positive]
    n, r = len(gain), len(positive)
    below = sum(1 for rank in ranks for place in range(rank + 1, n + 1) if place not in ranks)
    return {
        "ap": sum(found / rank for found, rank in enumerate(ranks, 1)) / r,
        "auc": below / (r * (n - r)) if r < n else math.nan,
        "first_hit": ranks[0],
        "exam": ranks[0] / n,
    }


def mean_of(dictionaries):
    """Mean of each key over dictionaries with the same keys."""
    rows = list(dictionaries)
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def kendall_tau_b(x, y):
    """Tau-b over all pairs."""
    pairs = list(itertools.combinations(range(len(x)), 2))
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in pairs]
    numerator = sum(a * b for a, b in signs)
    denominator = math.sqrt(sum(abs(a) for a, _ in signs) * sum(abs(b) for _, b in signs))
    return numerator / denominator if denominator else math.nan
