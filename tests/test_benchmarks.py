"""The benchmarks at tiny sizes: the synthetic fold is accepted, answers agree with the peers'."""

import numpy as np
import pytest
import torch

from benchmarks import bench, bench_methods, bench_retrain, synthetic
from benchmarks.bench_fold import disk_use, run_process
from benchmarks.shapes import Shape
from utils import ranking
from utils.data.setting_names import COLUMNS
from utils.judge.transplant import m2_states
from utils.model import caches, forward
from utils.model.caches import load_states, load_tail
from utils.model.checkpoints import read_ffn
from utils.model.opening import open_inputs
from utils.run.paths import FoldPaths
from utils.run.storage import save_array, save_bytes

TINY = Shape(d=64, m=256, classes=10, samples=600, layers=2)


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    return synthetic.write_fold(tmp_path_factory.mktemp("root"), TINY)


@pytest.fixture(scope="module")
def tail_and_states():
    return synthetic.make_states(TINY)


def test_the_synthetic_fold_is_what_the_steps_read(fold):
    tail = load_tail(fold.training / "checkpoint-1250")
    cached = load_states(fold, tail)
    assert (tail.m, tail.d, tail.n_classes, cached.n_samples) == (256, 64, 10, 600)
    first, second = (read_ffn(fold.training / f"checkpoint-{step}") for step in (1250, 2500))
    changes = [np.abs(a - b) for a, b in zip(first, second, strict=True)]
    assert all(0 < np.median(change) < 1e-3 for change in changes)


def test_the_synthetic_caches_are_up_to_date_for_the_ledger(fold, monkeypatch):
    """Else step 2 would run a model that is not in the checkpoint."""
    monkeypatch.setattr(forward, "load_model", lambda _: pytest.fail("the forward pass ran"))
    job = synthetic.make_job(fold)
    inputs = open_inputs(job)
    assert forward.ensure_states(job, inputs).n_samples == TINY.samples
    for name in caches.CACHES:
        inputs.ledger.require(fold.cache(name), caches.CACHE_STEP)
    m2_states.ensure_m2_states(job, inputs)  # as step 8 asks for them
    _, found = m2_states.read_m2(job, inputs, np.load(fold.cache("labels", "test")))
    assert found.h.shape == (TINY.samples, TINY.d)


def test_a_seventh_of_the_synthetic_samples_is_misclassified_in_every_class(tail_and_states):
    _, cached = tail_and_states
    wrong = cached.logits.argmax(1) != cached.labels
    assert 0.1 < wrong.mean() < 0.25
    assert len(np.unique(cached.labels[wrong])) == TINY.classes


def test_seed_and_shape_decide_the_synthetic_fold():
    first, second, other = (synthetic.make_states(TINY, seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first.a, second.a)
    assert not np.array_equal(first.a, other.a)


@torch.no_grad()
def test_float32_and_float64_rankings_agree(tail_and_states):
    table = bench.bench_precision(*tail_and_states)
    assert len(table) == len(bench.METHODS)
    assert (table["top1_overlap"] >= 0.999).all(), table


@torch.no_grad()
def test_the_block_size_changes_nothing(tail_and_states):
    assert (bench.bench_blocks(*tail_and_states)["max_diff"] < 1e-6).all()


def test_each_method_that_is_named_is_measured(tail_and_states, monkeypatch):
    monkeypatch.setattr(bench_methods, "FAILURES", 30)
    neg, pos = bench_methods.failures_and_others(tail_and_states[1])
    assert len(neg) == 30 and not set(neg) & set(pos)
    table = bench_methods.measure(*tail_and_states, neg, pos, ["vdiff", "care"])
    assert list(table["level"] + "/" + table["method"]) == [
        "neuron/care", "neuron/vdiff", "weight/vdiff",
    ]  # fmt: skip
    assert (table["seconds"] > 0).all() and (table["n_neg"] == 30).all()


def test_overlap_of_different_rankings_is_seen():
    scores = np.arange(1000, dtype=np.float32)
    assert bench.top_overlap(scores, scores) == 1
    assert bench.top_overlap(scores, -scores) == 0
    assert bench.top_overlap(scores, np.roll(scores, 5)) == 0.5


def test_ours_agree_with_their_peers(tail_and_states, monkeypatch):
    """Timing rows without a difference have no answer to compare, only a time."""
    monkeypatch.setattr(bench, "CAPTUM_SAMPLES", 50)
    monkeypatch.setattr(bench, "BL_SAMPLES", 40)
    monkeypatch.setattr(bench, "IG_POINTS", 3)
    with torch.no_grad():
        rows = bench.bench_ranking(TINY, 1) + bench.bench_vdiff(tail_and_states[1], 1)
        rows += bench.bench_bl(*tail_and_states, rate=1e9, repeats=1)
    rows += bench.bench_ig(*tail_and_states, repeats=1)
    compared = [row for row in rows if not np.isnan(row["max_diff"])]
    assert len(compared) >= 9
    for row in compared:
        assert row["max_diff"] < 1e-5, row
        assert row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"])


def test_large_rankings_come_from_torch_as_small_ones_from_numpy(monkeypatch):
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        scores = rng.integers(-50, 50, 5000).astype(dtype) * 0.37
        scores[:100] *= -0.0
        expected = np.argsort(-scores, kind="stable")
        for enough in (1, 10_000):
            monkeypatch.setattr(ranking, "ENOUGH_FOR_TORCH", enough)
            found = ranking.rank_by(scores.astype(dtype))
            assert found.dtype == np.int32
            assert np.array_equal(found, expected)


def test_a_step_that_fails_is_not_a_time():
    with pytest.raises(RuntimeError, match="no such thing"):
        run_process(["-c", "raise SystemExit('no such thing')"])
    found = run_process(["-c", "import time; time.sleep(0.05)"])
    assert found["seconds"] - found["cpu_s"] > 0.05 and found["cpu_s"] > 0
    assert 1 < found["peak_mib"] < 2000


def test_files_that_are_there_twice_are_found(tmp_path):
    paths = FoldPaths(tmp_path, "c100", 0)
    save_bytes(paths.settings, settings_csv())
    for name in ("weight_x_score", "weight_y_score"):
        save_array(paths.extra("all", name), np.zeros(100, dtype=np.float32))
    found = disk_use(paths, n_weights=100)
    twice = [sorted(same.split(" = ")) for same in found["twice"]]
    assert twice == [["all/weight_x_score.npy", "all/weight_y_score.npy"]]
    assert found["bytes per weight and setting"] == pytest.approx(2 * (400 + 128) / 100)


def settings_csv():
    values = dict.fromkeys(COLUMNS, "") | {"setting": "all", "misclf_type": "all", "status": "ok"}
    return (",".join(COLUMNS) + "\n" + ",".join(values.values()) + "\n").encode()


def test_retraining_is_measured_for_every_kind_of_ranking(tail_and_states):
    table = bench_retrain.measure(*tail_and_states, whole=True)
    assert table["k"].tolist() == [327, 327, 327, 2 * 64 * 256]
    assert (table[["seconds", "cpu_s", "judging_cpu_s", "peak_mib"]] > 0).all(axis=None)
