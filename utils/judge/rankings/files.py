"""Reading the score files of a fold, checked: ours and the user's."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils import ranking
from utils.errors import UserError
from utils.judge.names import NEURON
from utils.judge.rankings.source import ScoreSource
from utils.judge.scores.ground_truth import GroundTruth
from utils.judge.scores.rows import Ranked
from utils.run import storage
from utils.run.ledger import Ledger


def require_all(ledger: Ledger, inputs: Iterable[Path | tuple[Path, int]]) -> None:
    """Refuse stale or missing files before anything is written."""
    for item in inputs:
        if isinstance(item, tuple):
            ledger.require(*item)


def read_scores(source: ScoreSource, truth: GroundTruth) -> np.ndarray:
    """Scores of a ranking, checked: length, dtype, no NaN or infinite value."""
    if source.values is not None:
        return source.values(truth)
    return read_file(source, truth.m, truth.weights.n_items)


def read_file(source: ScoreSource, m: int, n_weights: int) -> np.ndarray:
    """`read_scores` of a ranking that is a file, for m neurons or `n_weights` weights."""
    remedy = storage.run_again(source.step) if source.step else "save it again, or take it away"
    size = m if source.key.level == NEURON else n_weights
    scores = storage.load_array(source.score, (np.float32, np.float64), (size,), remedy)
    return storage.require_finite(np.asarray(scores), source.score, remedy)


def read_order(source: ScoreSource, scores: np.ndarray) -> np.ndarray:
    if source.order is None:
        return ranking.rank_by(scores)
    remedy = storage.run_again(source.step)
    return np.asarray(storage.load_array(source.order, (np.int32,), scores.shape, remedy))


def read_ranked(source: ScoreSource, truth: GroundTruth) -> Ranked:
    """A ranking as it is compared."""
    scores = read_scores(source, truth)
    order = read_order(source, scores)
    return Ranked(source.key, source.levels, scores, order, source.n, source.has_cut)


def of_another_ranking(source: ScoreSource, error: ValueError) -> UserError:
    """What is said of a ranking that is not that of its scores."""
    return UserError(
        f"{source.order} does not belong to {source.score.name} ({error}); "
        f"{storage.run_again(source.step)}"
    )
