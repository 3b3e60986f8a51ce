"""One relabelling for all folds: draw b trades the same neurons in each of them."""

import folds_of_step7 as given
import numpy as np

from utils.run.paths import FoldPaths


def test_folds_share_the_relabellings_whatever_their_seed(tmp_path):
    """Two folds with the same truth and the same ranking have the same null, draw by draw."""
    scores = np.random.default_rng(3).random(given.N, dtype=np.float32)
    change = None
    nulls = []
    for fold, seed in ((0, 777), (1, 777), (2, 778)):
        change = given.write_fold(tmp_path, fold, change)
        for setting in given.SETTINGS:
            path = FoldPaths(tmp_path, "digits", fold).setting(setting) / "weight_B_score.npy"
            np.save(path, scores)
        job = given.evaluate(tmp_path, fold, SEED=seed)
        nulls.append(np.load(job.paths.relabelled_lifts("change")))
    assert np.ptp(nulls[0]) > 0
    assert np.array_equal(nulls[0], nulls[1]) and not np.array_equal(nulls[0], nulls[2])
