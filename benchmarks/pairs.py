"""How often tests of "two rankings overlap equally with the truth" reject when it is so.

Run from the repository's root: python -m benchmarks.pairs [--replicates R] [--truth T]

Simulated are positives, members and overlap of each neuron, not single weights. In
each fold neuron j has an intensity: log-normal with which the top 1% of neurons score
a lift of 16 (`heavy`: 38, `gamma`: 12). Its positives are Poisson. A ranking is
whole      the top 1% of neurons, all of their weights (a lifted neuron's score)
spread     weights of all neurons, with log-normal shares
and is informed in one of these ways, to the same expected lift (found by bisection
over many simulated folds):
none       not at all
tilt       a neuron's share, or odds to be chosen, is its intensity to some power
mix        ... a mixture of 1 and its intensity: few heavy neurons bring the lift
part       tilt, but half of the neurons, others for each ranking, are unseen
weights    nothing about neurons; inside each, positives are likelier members

The truth's relabellings are rotations of the neurons, whose order is random, so that
Fourier transforms give all m at once; the noise of the overlap of two neurons that
did not meet is normal, with the moments of the binomial. With 2,000 replicates a
rejection rate of 0.05 has a standard error of 0.005.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.fft import irfft, rfft

from benchmarks.pair_tests import assess
from utils.run import storage

REPLICATES = 2000
SEED = 20_777
CALIBRATION_SEED = 9
DRAWS = 199
LEVEL = 0.05
SHARE = 0.01  # members and positives, of all weights
SPREAD_SIGMA = 0.8
SIZES = ((768, 192), (3072, 768))
FOLDS = (5, 20)
OUTPUT = Path(__file__).parent / "results" / "pairs.csv"
# first ranking and its lift, second ranking and its lift; equal lifts: H0 is true
SCENARIOS = (
    ("whole none", 1, "spread none", 1),
    ("spread none", 1, "spread none", 1),
    ("whole none", 1, "whole none", 1),
    ("whole tilt", 3, "spread tilt", 3),
    ("whole mix", 3, "spread weights", 3),
    ("spread mix", 3, "spread weights", 3),
    ("spread tilt", 3, "spread weights", 3),
    ("spread part", 3, "spread part", 3),
    ("whole part", 3, "whole tilt", 3),
    ("whole mix", 1.5, "spread weights", 1.5),
    ("spread tilt", 8, "spread weights", 8),
    ("whole tilt", 3, "spread weights", 1.5),
    ("spread weights", 3, "whole tilt", 1.5),
    ("spread tilt", 3, "spread weights", 1.5),
    ("whole tilt", 3, "whole tilt", 1.5),
)


@dataclass(frozen=True)
class Ranking:
    """How a ranking chooses its members: `strength` is the power, share or odds ratio."""

    shape: str
    information: str
    strength: float


@dataclass(frozen=True)
class Members:
    """Per neuron: members and overlap with the positives, both (folds, m); `noisy` is
    False where every weight of a chosen neuron is a member, so that the overlap is exact."""

    count: np.ndarray
    overlap: np.ndarray
    noisy: bool


def draw_truth(
    rng: np.random.Generator, folds: int, m: int, d: int, truth: str
) -> tuple[np.ndarray, np.ndarray]:
    """Intensity (folds, m), mean 1 in each fold, and the number of positives (folds, m)."""
    if truth == "gamma":
        intensity = rng.gamma(0.3, size=(folds, m)) + 1e-12
    else:
        sigma = {"log-normal": 1.33, "heavy": 2.2}[truth]
        intensity = np.exp(sigma * rng.standard_normal((folds, m)))
    intensity /= intensity.mean(axis=1, keepdims=True)
    return intensity, np.minimum(rng.poisson(intensity * SHARE * 2 * d), 2 * d)


def preference(rng: np.random.Generator, ranking: Ranking, intensity: np.ndarray) -> np.ndarray:
    """How much likelier each neuron's weights are to be members: (folds, m)."""
    if ranking.information == "tilt":
        return intensity**ranking.strength
    if ranking.information == "mix":
        return 1 - ranking.strength + ranking.strength * intensity
    if ranking.information == "part":
        return np.where(rng.random(intensity.shape) < 0.5, intensity**ranking.strength, 1)
    return np.ones_like(intensity)


def draw_members(
    rng: np.random.Generator,
    ranking: Ranking,
    intensity: np.ndarray,
    positives: np.ndarray,
    d: int,
    expected: bool = False,
) -> Members:
    """Members and overlap; `expected`: of a spread ranking their expectation, faster."""
    m = intensity.shape[1]
    preferred = preference(rng, ranking, intensity)
    if ranking.shape == "whole":
        chosen = choose_neurons(rng, preferred, SHARE * m)
        return Members(chosen * 2 * d, chosen * positives, noisy=False)
    share = preferred * np.exp(SPREAD_SIGMA * rng.standard_normal(preferred.shape))
    mean = SHARE * 2 * m * d * share / share.sum(axis=1, keepdims=True)
    count = np.minimum(mean if expected else rng.poisson(mean), 2 * d)
    odds = ranking.strength if ranking.information == "weights" else 1.0
    q = positives / (2 * d)
    q = odds * q / (1 + (odds - 1) * q)
    overlap = np.minimum(count * q if expected else rng.binomial(count, q), positives)
    return Members(count.astype(float), overlap.astype(float), noisy=True)


def choose_neurons(rng: np.random.Generator, weight: np.ndarray, n: float) -> np.ndarray:
    """n neurons a fold, one after the other with odds `weight`, the last in part: (folds, m)."""
    whole = int(n)
    keys = -np.log(weight) - rng.gumbel(size=weight.shape)
    first = np.argpartition(keys, whole, axis=1)[:, : whole + 1]  # the last is the largest
    chosen = np.zeros(weight.shape)
    np.put_along_axis(chosen, first[:, :whole], 1.0, axis=1)
    np.put_along_axis(chosen, first[:, whole:], n - whole, axis=1)
    return chosen


def calibrate(name: str, lift: float, m: int, d: int, truth: str, folds: int) -> Ranking | None:
    """The ranking `name` whose expected lift is `lift`; None if it cannot reach it."""
    shape, information = name.split()
    if information == "none":
        return Ranking(shape, information, 0.0)
    chunk = 2000 * 768 // m

    def mean_lift(strength: float, chunks: int) -> float:
        ranking = Ranking(shape, information, strength)
        means = []
        for i in range(chunks):
            rng = np.random.default_rng([CALIBRATION_SEED, i])
            intensity, positives = draw_truth(rng, chunk, m, d, truth)
            found = draw_members(rng, ranking, intensity, positives, d, expected=True)
            means.append(lifts(found, positives, d).mean())
        return float(np.mean(means))

    low, high = {"mix": (0.0, 1.0), "weights": (1.0, 100.0)}.get(information, (0.0, 4.0))
    if mean_lift(high, 1) < lift:
        return None
    for _ in range(8):
        middle = (low + high) / 2 if information != "weights" else (low * high) ** 0.5
        low, high = (middle, high) if mean_lift(middle, 1) < lift else (low, middle)
    # One step of the secant method, with many folds.
    first, second = low, high * 1.02
    chunks = max(1, folds // chunk)
    at_first, at_second = mean_lift(first, chunks), mean_lift(second, chunks)
    strength = first + (lift - at_first) * (second - first) / (at_second - at_first)
    return Ranking(shape, information, strength)


def lifts(members: Members, positives: np.ndarray, d: int) -> np.ndarray:
    """Lift in each fold: (folds,)."""
    n = positives.shape[1] * 2 * d
    return members.overlap.sum(axis=1) * n / (members.count.sum(axis=1) * positives.sum(axis=1))


def contributions(a: Members, b: Members, positives: np.ndarray, d: int) -> np.ndarray:
    """z: each neuron's centred part in the difference of lifts, (folds, m)."""
    scale = positives.shape[1] * 2 * d / positives.sum(axis=1, keepdims=True)
    found = a.overlap / a.count.sum(axis=1, keepdims=True)
    found = found - b.overlap / b.count.sum(axis=1, keepdims=True)
    return scale * found - excess(a, b, positives, d) * positives.mean(axis=1, keepdims=True)


def excess(a: Members, b: Members, positives: np.ndarray, d: int) -> np.ndarray:
    """What one positive adds to the difference of lifts in each neuron: (folds, m)."""
    scale = positives.shape[1] / positives.sum(axis=1, keepdims=True)
    parts = [r.count / r.count.sum(axis=1, keepdims=True) for r in (a, b)]
    return scale * (parts[0] - parts[1])


def rotated(*products: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Sum over the pairs (p, g) of Σ_j p_j g_{j+s}, for every rotation s: (folds, m)."""
    m = products[0][0].shape[1]
    total = sum(
        np.conj(rfft(p.astype(np.float32))) * rfft(g.astype(np.float32)) for p, g in products
    )
    return irfft(total, n=m).astype(np.float64)


def draw_null(
    rng: np.random.Generator, a: Members, b: Members, positives: np.ndarray, d: int
) -> np.ndarray:
    """Σz, Σz², Σz³ of random relabellings in each fold, summed over folds: (3, DRAWS)."""
    folds, m = positives.shape
    scale = m * 2 * d / positives.sum(axis=1, keepdims=True)
    weights = [scale / r.count.sum(axis=1, keepdims=True) for r in (a, b)]
    counts = [r.count * r.noisy for r in (a, b)]
    x = excess(a, b, positives, d)
    r = positives - positives.mean(axis=1, keepdims=True)
    q = positives / (2 * d)
    spread = q * (1 - q)
    # Second, third and fourth cumulant of the overlap of two neurons, as products.
    second = weights[0] ** 2 * counts[0] + weights[1] ** 2 * counts[1]
    third = weights[0] ** 3 * counts[0] - weights[1] ** 3 * counts[1]
    fourth = weights[0] ** 4 * counts[0] + weights[1] ** 4 * counts[1]
    lopsided = spread * (1 - 2 * q)
    at = rng.integers(0, m, (folds, DRAWS))

    def drawn(*products: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.take_along_axis(rotated(*products), at, axis=1).sum(axis=0)

    sums, squares, variance = drawn((x, r)), drawn((x * x, r * r)), drawn((second, spread))
    cubes = drawn((x**3, r**3), (3 * x * second, r * spread), (third, lopsided))
    covariance = drawn((2 * x * second, r * spread), (third, lopsided))
    of_squares = drawn(
        (4 * x * x * second, r * r * spread),
        (4 * x * third, r * lopsided),
        (fourth, spread * (1 - 6 * spread)),
        (2 * second**2, spread**2),
    )
    variance = np.maximum(variance, 1e-12 * squares)
    noise, other = rng.standard_normal((2, DRAWS))
    slope = covariance / np.sqrt(variance)
    rest = np.sqrt(np.maximum(of_squares - slope**2, 0))
    mean_squares = squares + variance
    squares = np.maximum(mean_squares + slope * noise + rest * other, 1e-3 * mean_squares)
    return np.stack([sums + np.sqrt(variance) * noise, squares, cubes])


def p_values(
    rng: np.random.Generator, a: Members, b: Members, positives: np.ndarray, d: int
) -> dict[str, float]:
    """p of each test in one replicate."""
    z = contributions(a, b, positives, d)
    null = draw_null(rng, a, b, positives, d)
    observed = np.array([(z**power).sum() for power in (1, 2, 3)])
    folds = z.sum(axis=1)
    test = assess(observed, null, folds)
    t = observed[0] / np.sqrt(observed[1])
    # The neurons of the two rankings swapped at random: normal limit of the sign flips.
    raw = z + excess(a, b, positives, d) * positives.mean(axis=1, keepdims=True)
    swapped = raw.sum() / np.sqrt((raw**2).sum())
    freedom = max(1.0, 3 * observed[1] ** 2 / (z**4).sum())
    return {
        "swap": 2 * stats.norm.sf(abs(swapped)),
        "relabelling": (1 + (np.abs(null[0]) >= abs(observed[0])).sum()) / (DRAWS + 1),
        "t_neurons": 2 * stats.t.sf(abs(t), freedom),
        "t_folds": float(stats.ttest_1samp(folds, 0).pvalue),
        "studentised": test.p_relabelled,
        "skewness": test.p_skewness,
        "folds_skewness": test.p_folds,
        "largest": test.p,
    }


def measure(
    first: Ranking, second: Ranking, folds: int, m: int, d: int, truth: str, replicates: int
) -> dict[str, float]:
    """Rejection rates, and mean and sd of the difference of lifts."""
    rng = np.random.default_rng(SEED)
    rejected, differences = [], []
    for _ in range(replicates):
        intensity, positives = draw_truth(rng, folds, m, d, truth)
        a, b = (draw_members(rng, r, intensity, positives, d) for r in (first, second))
        rejected.append({k: p <= LEVEL for k, p in p_values(rng, a, b, positives, d).items()})
        differences.append((lifts(a, positives, d) - lifts(b, positives, d)).mean())
    return {
        "difference": float(np.mean(differences)),
        "sd": float(np.std(differences)),
        **pd.DataFrame(rejected).mean().to_dict(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--truth", default="log-normal", help="log-normal, gamma or heavy")
    parser.add_argument("--m", type=int, nargs="*", default=[m for m, _ in SIZES])
    parser.add_argument("--folds", type=int, nargs="*", default=FOLDS)
    parser.add_argument("--calibration-folds", type=int, default=24_000)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    rows = []
    for m, d in SIZES:
        if m not in args.m:
            continue
        names = {(s[i], s[i + 1]) for s in SCENARIOS for i in (0, 2)}
        found = {
            key: calibrate(*key, m, d, args.truth, args.calibration_folds * 768 // m)
            for key in sorted(names)
        }
        for folds in args.folds:
            for a, lift_a, b, lift_b in SCENARIOS:
                first, second = found[a, lift_a], found[b, lift_b]
                if first is None or second is None:
                    continue
                # A power need not be known as well as a level.
                replicates = args.replicates if lift_a == lift_b else args.replicates // 4
                start = time.perf_counter()
                result = measure(first, second, folds, m, d, args.truth, replicates)
                rows.append(
                    {"truth": args.truth, "m": m, "folds": folds, "a": a, "lift_a": lift_a}
                    | {"b": b, "lift_b": lift_b, "replicates": replicates, **result}
                )
                print(
                    *[round(v, 3) if isinstance(v, float) else v for v in rows[-1].values()],
                    f"{time.perf_counter() - start:.0f}s",
                    flush=True,
                )
    table = pd.DataFrame(rows).round(4)
    print(table.to_string(index=False))
    storage.save_table(args.output, table)


if __name__ == "__main__":
    main()
