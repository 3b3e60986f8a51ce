"""What a reader of the README's table needs: another processor gives the same lifts.

Older instruction sets stand in for another processor: every library adds up in
another order, so that most weights end with other last bits.
"""

import numpy as np
import pandas as pd
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
SETTING = "all"


def trained(root, **environment):
    """One fold of the digits as the demo trains it, up to the scores of step 5."""
    root.mkdir()
    for step in (0, 1, 2, 5):
        options = ["--replays", "0"] if step == 0 else []
        done = pipeline.run(step, root, *options, **environment)
        assert done.status == 0, done.stderr
    return FoldPaths(root, "digits", 0)


def lifts(paths):
    """lift@1% of step 5's weight-level methods against |dW|, by counting."""
    truth = np.load(paths.abs_diff)
    k = ranking.share_of(1, len(truth))
    top = set(ranking.rank_by(truth)[:k].tolist())
    found = {}
    for path in sorted(paths.setting(SETTING).glob("weight_*_ranking.npy")):
        if "_n" not in path.name:
            hits = len(top & set(np.load(path)[:k].tolist()))
            found[path.name] = hits / k * len(truth) / k
    return top, pd.Series(found)


@pytest.mark.skipif(not pipeline.trains_elsewhere(), reason="not an x86-64 processor")
def test_the_table_is_the_same_on_another_processor(tmp_path):
    here, there = trained(tmp_path / "here"), trained(tmp_path / "there", **OLD)
    weights = [
        ranking.flatten(*checkpoints.read_ffn(paths.training / "checkpoint-288"))
        for paths in (here, there)
    ]
    assert np.mean(weights[0] != weights[1]) > 0.1  # the stand-in computes otherwise
    (top, ours), (other_top, others) = lifts(here), lifts(there)
    assert len(top & other_top) >= 0.99 * len(top)
    assert len(ours) >= 5
    assert ours.round(2).to_dict() == pytest.approx(others.round(2).to_dict(), abs=0.0101)
