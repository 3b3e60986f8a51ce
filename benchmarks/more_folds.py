"""What more folds change in the conclusions: two summaries of one data set, side by side.

Run from the repository's root: python -m benchmarks.more_folds FEW MANY, two folders of
`exp-fl-5/` that step 7 wrote, such as digits_summary_fold0_1_2_3_4 and digits_summary.

Per truth, of all methods (weights and lifted neurons), on lift at the positives' percent:
width_*      median over methods of the width of the 95% interval, divided by the method's mean
apart_*      methods that differ from `random` at 5%, Holm-adjusted over the family
pairs_*      of all pairs of methods, those that differ at 5%, Holm over all pairs, corrected
verdict_*    methods beyond chance in these models at 5%, adjusted, above and below it
moved        median over methods of |mean(MANY) - mean(FEW)| in half-widths of FEW's interval
kept         methods whose mean of MANY lies in FEW's corrected interval
tau          Kendall's tau-b between the two orders of the methods
"""

import argparse
from pathlib import Path

import pandas as pd
from scipy.stats import kendalltau

from utils import constants
from utils.judge.names import LIFTED, WEIGHT
from utils.summary import statistics
from utils.summary.overview import SIGNIFICANT

KEYS = ["level", "method"]


def read(folder: Path, table: str, truth: str) -> pd.DataFrame:
    """The rows of one truth about weights."""
    rows = pd.read_csv(folder / f"{table}.csv")
    return rows[(rows["truth"] == truth) & rows["level"].isin([WEIGHT, LIFTED])]


def lifts(folder: Path, truth: str, metric: str) -> pd.DataFrame:
    """One row per method that the verdict knows, indexed by KEYS."""
    summary = read(folder, "summary", truth)
    rows = summary[summary["metric"] == metric].set_index(KEYS)
    verdict = read(folder, "verdict", truth).set_index(KEYS)
    return rows.loc[verdict.index].join(verdict[["z", "p_adjusted"]])


def pairs_apart(rows: pd.DataFrame, n_folds: int) -> int:
    """How many pairs of methods the corrected test tells apart."""
    values = rows.filter(regex=r"^fold\d+$").T
    p = statistics.pairwise_holm(values, n_folds).to_numpy()
    return int((p <= SIGNIFICANT).sum()) // 2


def described(folder: Path, truth: str, metric: str, n_folds: int) -> dict[str, float]:
    rows = lifts(folder, truth, metric)
    compared = read(folder, "comparisons", truth)
    against = compared[(compared["metric"] == metric) & (compared["reference"] == "random")]
    told = rows["p_adjusted"] <= SIGNIFICANT
    return {
        "folds": int(rows["n_folds"].max()),
        "width_t": ((rows["high"] - rows["low"]) / rows["mean"]).median(),
        "width_corrected": (
            (rows["corrected_high"] - rows["corrected_low"]) / rows["mean"]
        ).median(),
        "methods": len(rows),
        "apart_t": int((against["holm_p"] <= SIGNIFICANT).sum()),
        "apart_corrected": int((against["corrected_holm_p"] <= SIGNIFICANT).sum()),
        "pairs": len(rows) * (len(rows) - 1) // 2,
        "pairs_corrected": pairs_apart(rows, n_folds),
        "verdict_above": int((told & (rows["z"] > 0)).sum()),
        "verdict_below": int((told & (rows["z"] < 0)).sum()),
    }


def change(few: pd.DataFrame, many: pd.DataFrame) -> dict[str, float]:
    """How far the means moved, of the same methods in the same order."""
    half = (few["corrected_high"] - few["corrected_low"]) / 2
    away = (many["mean"] - few["mean"]).abs() / half
    tau = kendalltau(few["mean"], many["mean"]).statistic
    return {"moved": away.median(), "kept": int((away <= 1).sum()), "tau": float(tau)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("few", type=Path)
    parser.add_argument("many", type=Path)
    args = parser.parse_args()
    metric = f"lift@{constants.POSITIVE_PERCENT:g}%"
    for truth in pd.read_csv(args.many / "verdict.csv")["truth"].unique():
        both = [
            described(folder, truth, metric, constants.N_FOLDS) for folder in (args.few, args.many)
        ]
        print(f"\n{truth}\n{pd.DataFrame(both).round(3).to_string(index=False)}")
        few, many = (lifts(folder, truth, metric) for folder in (args.few, args.many))
        shared = few.index.intersection(many.index)
        print(pd.Series(change(few.loc[shared], many.loc[shared])).round(3).to_string())
        columns = ["mean", "corrected_low", "corrected_high", "p_adjusted"]
        table = few[columns].add_suffix(" few").join(many[columns].add_suffix(" many"))
        print(table.round(4).to_string())


if __name__ == "__main__":
    main()
