"""What `make check-claims` runs besides: another processor gives the same truth.

Older instruction sets stand in for another processor: every library adds up in
another order, so that most weights end with other last bits.
"""

import numpy as np
import pipeline
import pytest

from utils import ranking
from utils.model import checkpoints
from utils.run.paths import FoldPaths

OLD = {
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "default",
}


def trained(root, **environment):
    """The FFNs of M1 and M2, float32 (N,) each, of one fold as the demo trains it."""
    root.mkdir()
    done = pipeline.run(0, root, "--replays", "0", **environment)
    assert done.status == 0, done.stderr
    training = FoldPaths(root, "digits", 0).training
    return [
        ranking.flatten(*checkpoints.read_ffn(training / f"checkpoint-{step}"))
        for step in (144, 288)
    ]


def top(values):
    """The first 1% by size."""
    k = ranking.share_of(1, len(values))
    return set(ranking.rank_by(np.abs(values))[:k].tolist())


@pytest.mark.skipif(not pipeline.trains_elsewhere(), reason="not an x86-64 processor")
def test_the_truth_and_a_lift_are_the_same_on_another_processor(tmp_path):
    here, there = trained(tmp_path / "here"), trained(tmp_path / "there", **OLD)
    assert np.mean(here[1] != there[1]) > 0.1  # the stand-in computes otherwise
    truths = [top(m2 - m1) for m1, m2 in (here, there)]
    assert len(truths[0] & truths[1]) >= 0.99 * len(truths[0])
    lifts = [
        len(truth & top(m1)) / len(truth) * len(m1) / len(truth)
        for truth, (m1, _) in zip(truths, (here, there), strict=True)
    ]
    assert lifts[0] == pytest.approx(lifts[1], abs=0.0301)  # of magnitude; a weight is 0.03
