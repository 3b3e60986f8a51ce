"""Our fast paths beside their peers, at ViT-Base size, in one process.

Run from the repository's root: python -m benchmarks.bench [--d D] [--samples S] [--repeats R]

Each row times ours and the peer one after the other, several times, and takes
the medians; `ratio` is peer_s / ours_s, `max_diff` the largest difference
between the two answers (relative to the largest value), `peak_mib` how much the
process grew during ours. Where the peer is too slow for the whole input it runs
on a part and its time is extrapolated, and `peer` says so.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from captum.attr import IntegratedGradients
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score
from transformers import ViTConfig, ViTForImageClassification

from benchmarks.shapes import VIT_BASE, Shape
from benchmarks.synthetic import make_states
from utils import ranking
from utils.judge import names
from utils.judge.scores import comparison, ground_truth, ties
from utils.methods import METHODS, arachne, integrated_gradients, variance
from utils.methods.evidence import Evidence
from utils.model import gradients
from utils.model.class_token import forward_states
from utils.model.states import BLOCK, States, states_from_h
from utils.model.tail import Tail, gradient_at_output, make_tail
from utils.run import storage

RESULTS = Path(__file__).parent / "results"
PERCENTS = (0.1, 0.5, 1, 2, 5, 10)
IG_POINTS = 20
# What the slow peers are run on before their time is extrapolated.
CAPTUM_SAMPLES, WHOLE_MODEL_SAMPLES, LOOP_WEIGHTS = 500, 2, 200
BL_SAMPLES, VDIFF_SAMPLES = 1500, 8500
# A block size that divides no number of samples here, compared with the usual one.
ODD_BLOCK = 337
SCALING_D, SCALING_S = (384, 768, 1024, 1280), (1_000, 5_000, 10_000, 50_000)
PAGE_MIB = 4096 / 2**20


@dataclass
class Timed:
    seconds: float
    value: Any
    peak_mib: float


def resident_mib() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_MIB
    except OSError:
        return float("nan")


def timed(function: Callable[[], Any], repeats: int) -> Timed:
    """Median seconds of `repeats` calls, the last value, and how far memory rose."""
    start, peak, done = resident_mib(), [resident_mib()], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, value = [], None
    try:
        for _ in range(repeats):
            began = time.perf_counter()
            value = function()
            seconds.append(time.perf_counter() - began)
    finally:
        done.set()
        watcher.join()
    return Timed(statistics.median(seconds), value, max(0.0, peak[0] - start))


def row(
    what: str, ours: Timed, peer: str, peer_s: float, max_diff: float = float("nan")
) -> dict[str, Any]:
    found = {
        "what": what,
        "ours_s": ours.seconds,
        "peer": peer,
        "peer_s": peer_s,
        "ratio": peer_s / ours.seconds,
        "max_diff": max_diff,
        "peak_mib": ours.peak_mib,
    }
    print(f"{what}: {ours.seconds:.4f} s, {peer}: {peer_s:.4f} s", flush=True)
    return found


def difference(ours: Any, theirs: Any) -> float:
    """Largest difference relative to the largest value."""
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def matmul_rate(repeats: int, size: int = 3072) -> float:
    """Measured fp32 matrix-product rate of this machine, in operations per second."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    return 2 * size**3 / timed(lambda: a @ b, max(5, repeats)).seconds


def bench_ranking(shape: Shape, repeats: int) -> list[dict]:
    rng = np.random.default_rng(0)
    n_weights, n = shape.n_weights, ranking.default_budget(shape.d)
    gain = np.abs(rng.standard_t(3, n_weights)).astype(np.float32)
    scores = (gain + 3 * rng.random(n_weights)).astype(np.float32)
    argsort = timed(lambda: np.argsort(scores), repeats)
    order = ranking.rank_by(scores)
    ours = timed(lambda: ranking.inverse(ranking.rank_by(scores)), repeats)
    stable = ranking.inverse(np.argsort(-scores, kind="stable").astype(np.int32))
    rows = [row("ranking and inverse", ours, "one np.argsort", argsort.seconds,
                difference(ours.value, stable))]  # fmt: skip

    truth = ground_truth.prepare_truth(gain, shape.m, shape.d, PERCENTS, 1, [n])
    ks = list(truth.ks(names.WEIGHT, n).values())

    all_metrics(scores, order, truth, n)  # the truth's own sums are made once per fold
    ours = timed(lambda: all_metrics(scores, order, truth, n), repeats)
    rows.append(row("all metrics, weight level", ours, "one np.argsort", argsort.seconds))
    found = ours.value
    positives = truth.weights.positives
    rank_scores = scores.astype(np.float64)
    top = ranking.share_of(1, n_weights)
    peers = {
        "ap": ("sklearn average_precision_score",
               lambda: average_precision_score(positives, rank_scores)),
        "auc": ("sklearn roc_auc_score", lambda: roc_auc_score(positives, rank_scores)),
        "spearman": ("scipy spearmanr", lambda: spearmanr(rank_scores, gain).statistic),
        "ndcg@1%": ("sklearn ndcg_score",
                    lambda: ndcg_score(gain[None].astype(float), rank_scores[None], k=top)),
    }  # fmt: skip
    for name, (label, peer) in peers.items():
        theirs = timed(peer, 1)
        rows.append(row(f"{name}, with all other metrics", ours, label, theirs.seconds,
                        difference(found[name], theirs.value)))  # fmt: skip

    neuron_scores = rng.random(shape.m).astype(np.float32)

    def lifted() -> dict[str, float]:
        groups = ties.group_neurons(neuron_scores, truth.by_neuron)
        return comparison.compare(groups, truth, names.LIFTED, n)

    def expanded() -> dict[str, float]:
        whole = ranking.spread(neuron_scores, shape.d)
        groups = ties.group_items(whole, ranking.rank_by(whole), truth.weights, ks)
        return comparison.compare(groups, truth, names.LIFTED, n)

    ours, theirs = timed(lifted, repeats), timed(expanded, 1)
    gap = difference(list(ours.value.values()), [theirs.value[key] for key in ours.value])
    return [*rows, row("all metrics, lifted neurons", ours, "expanded to N", theirs.seconds, gap)]


def all_metrics(
    scores: np.ndarray, order: np.ndarray, truth: ground_truth.GroundTruth, n: int
) -> dict[str, float]:
    groups = comparison.weight_groups(scores, order, truth, [n])
    return comparison.compare(groups, truth, names.WEIGHT, n)


def bench_ig(tail: Tail, states: States, repeats: int) -> list[dict]:
    everyone = np.arange(states.n_samples)

    def run(samples: np.ndarray) -> np.ndarray:
        return integrated_gradients.integrated_gradients(tail, states, samples, IG_POINTS).score

    ours = timed(lambda: run(everyone), repeats)
    few = everyone[:CAPTUM_SAMPLES]
    h, a = torch.from_numpy(states.h[few]), torch.from_numpy(states.a[few])
    labels = torch.from_numpy(states.labels[few])

    def probability(neurons: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return tail.logits_of_output(tail.output(state, neurons)).softmax(1)

    explainer = IntegratedGradients(probability)
    theirs = timed(
        lambda: explainer.attribute(
            a, target=labels, additional_forward_args=h, n_steps=IG_POINTS,
            method="riemann_right", internal_batch_size=2048,
        ).mean(0).numpy(),
        1,
    )  # fmt: skip
    scale = states.n_samples / len(few)
    what = f"ig, {states.n_samples:,} samples x {IG_POINTS} points"
    rows = [row(what, ours, f"captum on the tail, x{scale:g}", theirs.seconds * scale,
                difference(run(few), theirs.value))]  # fmt: skip

    theirs, gap = whole_model_ig(Shape(tail.d, tail.m, tail.n_classes))
    scale = states.n_samples / WHOLE_MODEL_SAMPLES
    rows.append(
        row(what, ours, f"whole ViT at each point, x{scale:g}", theirs.seconds * scale, gap)
    )
    return rows


def whole_model_ig(shape: Shape) -> tuple[Timed, float]:
    """Integrated gradients by running a whole random ViT at each point, and how far ours is off.

    The least that a method without the cached tail can do: one run per sample
    and point, differentiated from the class token's neurons on.
    """
    config = ViTConfig(
        hidden_size=shape.d, intermediate_size=shape.m, num_labels=shape.classes,
        num_attention_heads=shape.d // 64 or 1,
    )  # fmt: skip
    model = ViTForImageClassification(config).eval().requires_grad_(False)
    pixels = torch.randn(WHOLE_MODEL_SAMPLES, 3, 224, 224)
    labels = torch.arange(WHOLE_MODEL_SAMPLES)
    tail = tail_of(model)
    h, _ = forward_states(model, {"pixel_values": pixels})
    # A clone is an ordinary tensor, which torch can differentiate.
    cached = h.clone().numpy()
    states = States(cached, *states_from_h(tail, cached), labels.numpy())
    neurons = torch.from_numpy(states.a)

    def gradient_at(t: int) -> torch.Tensor:
        point = (t / IG_POINTS * neurons).requires_grad_(True)

        def put(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            return (torch.cat([point[:, None], inputs[0][:, 1:]], dim=1),)

        handle = model.vit.layers[-1].mlp.fc2.register_forward_pre_hook(put)
        try:
            chosen = model(pixel_values=pixels).logits.softmax(1).gather(1, labels[:, None]).sum()
        finally:
            handle.remove()
        return torch.autograd.grad(chosen, point)[0]

    def run() -> np.ndarray:
        mean = sum(gradient_at(t) for t in range(1, IG_POINTS + 1)) / IG_POINTS
        return (neurons * mean).mean(0).numpy()

    theirs = timed(run, 1)
    ours = integrated_gradients.integrated_gradients(
        tail, states, np.arange(WHOLE_MODEL_SAMPLES), IG_POINTS
    )
    return theirs, difference(ours.score, theirs.value)


def tail_of(model: ViTForImageClassification) -> Tail:
    """The tail of a model in memory."""
    layer = model.vit.layers[-1]
    parts = {
        "bef": layer.mlp.fc1, "aft": layer.mlp.fc2, "ln": layer.layernorm_after,
        "final_ln": model.vit.layernorm, "head": model.classifier,
    }  # fmt: skip
    weights = {}
    for name, part in parts.items():
        short = name in ("bef", "aft")
        weights[f"w_{name}" if short else f"{name}_weight"] = part.weight.detach().numpy()
        weights[f"b_{name}" if short else f"{name}_bias"] = part.bias.detach().numpy()
    return make_tail(weights, model.config.to_dict())


def bench_bl(tail: Tail, states: States, rate: float, repeats: int) -> list[dict]:
    neg, pos = np.split(np.arange(2 * BL_SAMPLES) % states.n_samples, 2)
    pair = [np.sort(neg), np.sort(pos)]

    def run() -> list[np.ndarray]:
        return [f(tail, states, samples) for samples in pair
                for f in (gradients.mean_loss_gradient, arachne.forward_impact)]  # fmt: skip

    ours = timed(run, repeats)
    # Products with m x d weights per sample: 4 for the gradient (forward, back, two
    # outer products), 5 for the forward impact (two sums, two shares, one gradient).
    operations = 9 * 2 * tail.m * tail.d * 2 * BL_SAMPLES
    what = f"bl, gradient loss + forward impact, {BL_SAMPLES:,} + {BL_SAMPLES:,} samples"
    rows = [row(what, ours, "its products at the measured fp32 rate", operations / rate)]

    impact = timed(lambda: [arachne.forward_impact(tail, states, s) for s in pair], repeats)
    loop, found = impact_weight_by_weight(tail, states, pair[0])
    # Both matrices, for both sets of samples.
    scale = 2 * 2 * tail.w_bef.numel() / len(found)
    ours = [impact.value[0][place] for place in found]
    rows.append(row("forward impact alone", impact, f"a loop over weights, x{scale:g}",
                    loop.seconds * scale, difference(ours, list(found.values()))))  # fmt: skip
    return rows


def impact_weight_by_weight(
    tail: Tail, states: States, samples: np.ndarray
) -> tuple[Timed, dict[int, float]]:
    """Forward impact of a few weights of W_bef, one after the other, by canonical index."""
    w_bef = tail.w_bef.numpy()
    u = tail.ffn_input(torch.from_numpy(states.h[samples])).numpy()
    grad_a = gradient_at_output(
        tail, torch.from_numpy(states.y[samples]), torch.empty(0), "logit_sum"
    ) @ tail.w_aft  # fmt: skip
    share = (grad_a.abs() / grad_a.abs().sum(1, keepdim=True)).mean(0).numpy()  # (m,)

    def run() -> dict[int, float]:
        found = {}
        for place in range(LOOP_WEIGHTS):
            j, i = place % tail.m, place % tail.d
            products = np.abs(u * w_bef[j])
            found[j * tail.d + i] = float((products[:, i] / products.sum(1)).mean() * share[j])
        return found

    loop = timed(run, 1)
    return loop, loop.value


def bench_vdiff(states: States, repeats: int) -> list[dict]:
    samples = np.arange(min(VDIFF_SAMPLES, states.n_samples))
    cpu = torch.device("cpu")
    ours = timed(lambda: variance.v_scores(states.a, samples, cpu), repeats)
    rows = torch.from_numpy(states.a[samples])
    theirs = timed(lambda: torch.cov(rows.T), repeats)
    cov = theirs.value.double().numpy()
    v = np.diag(cov) + (np.abs(cov).sum(1) - np.abs(np.diag(cov))) / (len(cov) - 1)
    what = f"vdiff's V, {len(samples):,} x {rows.shape[1]:,} activations"
    return [row(what, ours, "one torch.cov", theirs.seconds, difference(ours.value, v))]


def top_overlap(first: np.ndarray, second: np.ndarray) -> float:
    k = ranking.share_of(1, len(first))
    tops = [ranking.rank_by(scores)[:k] for scores in (first, second)]
    return len(np.intersect1d(*tops)) / k


def in_float64(tail: Tail, states: States) -> tuple[Tail, States]:
    """The same tail and, computed from h, the same states in float64."""
    wide = tail.to(torch.float64)
    h = torch.from_numpy(states.h).double()
    a = wide.activate(wide.pre_activation(wide.ffn_input(h)))
    y = wide.output(h, a)
    logits = wide.logits_of_output(y)
    return wide, States(h.numpy(), a.numpy(), y.numpy(), logits.numpy(), states.labels)


def bench_precision(tail: Tail, states: States) -> pd.DataFrame:
    """Overlap of the top 1% of float32 and float64 rankings, per method, for the setting `all`."""
    wrong = states.logits.argmax(1) != states.labels
    neg, pos = np.flatnonzero(wrong), np.flatnonzero(~wrong)
    sides = [
        Evidence(*side, neg, pos, 0, IG_POINTS, {}) for side in
        ((tail, states), in_float64(tail, states))
    ]  # fmt: skip
    rows = []
    for (level, name), method in METHODS.items():
        narrow, wide = (method.function(evidence).score for evidence in sides)
        rows.append({"level": level, "method": name, "top1_overlap": top_overlap(narrow, wide)})
    return pd.DataFrame(rows)


def bench_blocks(tail: Tail, states: States) -> pd.DataFrame:
    """Largest difference between two block sizes, relative to the largest value."""
    samples, cpu = np.arange(min(BL_SAMPLES, states.n_samples)), torch.device("cpu")
    parts = {
        "loss gradient": lambda block: gradients.mean_loss_gradient(tail, states, samples, block),
        "forward impact": lambda block: arachne.forward_impact(tail, states, samples, block),
        "ig": lambda block: (
            integrated_gradients.integrated_gradients(tail, states, samples, IG_POINTS, block).score
        ),
        "vdiff's V": lambda block: variance.v_scores(states.a, samples, cpu, block),
    }
    rows = [
        {"what": what, "blocks": f"{BLOCK} and {ODD_BLOCK}",
         "max_diff": difference(function(ODD_BLOCK), function(BLOCK))}
        for what, function in parts.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def bench_scaling(repeats: int) -> pd.DataFrame:
    """Seconds of the main parts as d and S grow; linear cost has a constant last column."""
    rows: list[dict] = []
    cases = [(d, 2_000) for d in SCALING_D] + [(VIT_BASE.d, s) for s in SCALING_S]
    for d, samples in cases:
        shape = Shape(d=d, m=4 * d, samples=samples)
        tail, states = make_states(shape)
        everyone = np.arange(samples)
        parts = {
            "loss gradient": gradients.mean_loss_gradient,
            "forward impact": arachne.forward_impact,
            "ig": partial(integrated_gradients.integrated_gradients, points=IG_POINTS),
            "vdiff's V": lambda tail, states, samples: variance.v_scores(
                states.a, samples, tail.device
            ),
        }
        for what, function in parts.items():
            found = timed(partial(function, tail, states, everyone), repeats)
            unit = found.seconds / (shape.n_weights * samples) * 1e12
            rows.append({"what": what, "d": d, "samples": samples, "seconds": found.seconds,
                         "ps_per_weight_and_sample": unit, "peak_mib": found.peak_mib})  # fmt: skip
    for d in SCALING_D:
        shape, rng = Shape(d=d, m=4 * d), np.random.default_rng(0)
        scores, gain = (rng.random(shape.n_weights, dtype=np.float32) for _ in range(2))
        n, order = ranking.default_budget(d), ranking.rank_by(scores)
        truth = ground_truth.prepare_truth(gain, shape.m, d, PERCENTS, 1, [n])
        parts = {
            "ranking": partial(ranking.rank_by, scores),
            "all metrics": partial(all_metrics, scores, order, truth, n),
        }
        for what, function in parts.items():
            function()  # memory that is touched for the first time is not part of the growth
            found = timed(function, repeats)
            rows.append({"what": what, "d": d, "samples": 0, "seconds": found.seconds,
                         "ps_per_weight_and_sample": found.seconds / shape.n_weights * 1e12,
                         "peak_mib": found.peak_mib})  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d", type=int, default=VIT_BASE.d, help="hidden size; m = 4d")
    parser.add_argument("--samples", type=int, default=VIT_BASE.samples)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scaling", action="store_true", help="also let d and S grow (minutes)")
    args = parser.parse_args()
    shape = Shape(d=args.d, m=4 * args.d, samples=args.samples)
    rate = matmul_rate(args.repeats)
    print(f"{torch.get_num_threads()} threads, fp32 products at {rate / 1e9:.0f} GFLOP/s")
    tail, states = make_states(shape)
    with torch.no_grad():
        rows = bench_ranking(shape, args.repeats) + bench_bl(tail, states, rate, args.repeats)
        rows += bench_vdiff(states, args.repeats)
        overlaps, blocks = bench_precision(tail, states), bench_blocks(tail, states)
    rows += bench_ig(tail, states, args.repeats)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.4g}".format))
    print(overlaps.to_string(index=False, float_format="{:.5f}".format))
    print(blocks.to_string(index=False, float_format="{:.1e}".format))
    if shape == VIT_BASE:
        storage.save_table(RESULTS / "bench.csv", table)
        storage.save_table(RESULTS / "float32.csv", overlaps)
        storage.save_table(RESULTS / "blocks.csv", blocks)
    if args.scaling:
        scaling = bench_scaling(args.repeats)
        print(scaling.to_string(index=False, float_format="{:.4g}".format))
        storage.save_table(RESULTS / "scaling.csv", scaling)


if __name__ == "__main__":
    main()
