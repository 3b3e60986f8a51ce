"""From a method to its ranking (docs/definitions.md 1)."""

from collections.abc import Callable
from dataclasses import replace

from utils import ranking
from utils.methods.evidence import Evidence
from utils.methods.method import Scores
from utils.pieces import cpu_threads


def score_and_rank(function: Callable[[Evidence], Scores], evidence: Evidence) -> Scores:
    """What a method returns, with a ranking, int32 (m,) or (N,), most suspicious first."""
    with cpu_threads(1):  # threads take whole pieces (utils.pieces)
        found = function(evidence)
    if found.ranking is not None:
        return found
    return replace(found, ranking=ranking.rank_by(found.score))
