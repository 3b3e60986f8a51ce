"""Copies the study's small tables and figures from its results to docs/study/.

Each table gets a column `commit`: the commit of the code that made the results. Results of
several commits, or of changed files, are refused: run `make study` again.

Run from the repository's root: python -m benchmarks.study.collect [--root DIR]
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.study import page
from benchmarks.study.run import DS, FOLDS, base_model, times_file
from utils.errors import UserError
from utils.run import storage
from utils.run.hashing import REPOSITORY
from utils.run.paths import FoldPaths
from utils.run.record import read_provenance
from utils.summary.folds.read_records import summary_paths

DESTINATION = REPOSITORY / "docs" / "study"
# Tables of the summary, as its files are called.
COPIED = (
    "overview", "summary", "verdict", "verdicts", "verdicts_agreement", "resolution", "layer",
    "retrained", "predicts", "truths", "transplant", "planted",
)  # fmt: skip
FIGURES = ("truths", "verdicts", "loss_against_k", "blocks")
LIFT = "lift@1%"
PLANTED = "planted"  # absent where no fault at all could be planted
BLOCK_KEYS = ["direction", "layer", "block"]


def require_one_commit(folders: list[FoldPaths]) -> str:
    """The commit of the code that made all results behind the training.

    Raises
    ------
    UserError : there are several, or none is known, or files had been changed.
    """
    runs = [run for paths in folders for run in read_provenance(paths)["runs"].values()]
    runs = [run for run in runs if run["step"] > 0]
    commits = {run["git_commit"] for run in runs}
    if len(commits) != 1 or None in commits or any(run["git_dirty"] for run in runs):
        found = ", ".join(sorted(str(commit)[:12] for commit in commits)) or "none"
        raise UserError(
            f"{folders[-1].results}: the results are not of one commit without changes ({found}); "
            "commit, then run make study again with --force"
        )
    return str(commits.pop())


def training_table(folds: list[FoldPaths]) -> pd.DataFrame:
    """A row a fold: what step 0 did, as the Trainer and step 0 recorded it."""
    rows = []
    for paths in folds:
        last = max(paths.training.glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
        state = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))
        m1, m2 = [entry for entry in state["log_history"] if "eval_accuracy" in entry]
        runs = [run for run in read_provenance(paths)["runs"].values() if run["step"] == 0]
        times = pd.read_csv(paths.times(0)).set_index("method")["elapsed_s"]
        rows.append({
            "fold": paths.fold, "steps": state["global_step"], "batch": state["train_batch_size"],
            "m1_accuracy": m1["eval_accuracy"], "m2_accuracy": m2["eval_accuracy"],
            "m1_loss": m1["eval_loss"], "m2_loss": m2["eval_loss"],
            "training_s": times["training"], "replays_s": times.filter(like="replay").sum(),
            "epochs": state["epoch"], "replays": int(times.index.str.startswith("replay").sum()),
            "commit_of_training": runs[-1]["git_commit"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def base_table(record: dict[str, Any]) -> pd.DataFrame:
    """One row: how the base model was made, of its pretrain.json."""
    return pd.DataFrame([{name: value for name, value in record.items() if name != "source"}])


def failures_table(folds: list[FoldPaths]) -> pd.DataFrame:
    """A row a fold: how many images M1 gets wrong, and how many its splits have."""
    rows = []
    for paths in folds:
        predictions = pd.read_csv(paths.predictions)
        wrong = predictions["pred_label"] != predictions["true_label"]
        test = pd.read_csv(paths.repair_table).query("setting == 'all'")
        rows.append({
            "fold": paths.fold, "repair_images": len(predictions), "repair_failures": wrong.sum(),
            "test_failures": int(test["n_test"].iloc[0]),
        })  # fmt: skip
    return pd.DataFrame(rows)


def blocks_table(folds: list[FoldPaths]) -> pd.DataFrame:
    """Step 8's blocks: direction, layer, block, and means over folds of what swapping one does."""
    whole = pd.concat([pd.read_csv(paths.layers) for paths in folds])
    grouped = whole.groupby(BLOCK_KEYS, dropna=False, sort=False)
    return grouped[["samples", "loss", "accuracy", "repaired", "broken"]].mean().reset_index()


def times_table(root: Path) -> pd.DataFrame:
    """A row a step: seconds of all folds together, and the largest peak of a process.

    A step's halves and a fold that was done in several calls are added up.
    """
    rows = pd.read_csv(times_file(root), dtype={"fold": str, "step": str})
    rows["what"] = rows["step"].where(rows["fold"] != "summary", rows["step"] + ", summary")
    rows = rows.sort_values("step", key=lambda step: pd.to_numeric(step, errors="coerce"))
    grouped = rows.groupby("what", sort=False)
    table = grouped[["seconds", "cpu_s"]].sum().assign(peak_mib=grouped["peak_mib"].max())
    return table.rename_axis("step").reset_index()


def gather(root: Path, folds: list[int]) -> dict[str, pd.DataFrame]:
    """The study's tables, by name, from ROOT's results.

    Raises
    ------
    OSError : one of them is not there; FileNotFoundError names it.
    """
    each = [FoldPaths(root, DS, fold) for fold in folds]
    summary = summary_paths(each)
    there = [name for name in COPIED if name != PLANTED or summary.table(name).is_file()]
    tables = {name: page.read(summary.table(name)) for name in there}
    tables["summary"] = tables["summary"].query("metric == @LIFT")  # the rest is long
    return tables | {
        "training": training_table(each),
        "failures": failures_table(each),
        "layers": blocks_table(each),
        "times": times_table(root),
        "base": base_table(json.loads((base_model(root) / "pretrain.json").read_text())),
    }


def collect(root: Path, folds: list[int], commit: str, out: Path) -> None:
    """Tables and figures of ROOT's study into `out`."""
    tables = gather(root, folds)
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        storage.save_table(out / f"{name}.csv", table.assign(commit=commit))
    figures = summary_paths([FoldPaths(root, DS, fold) for fold in folds]).results / "figures"
    for name in FIGURES:
        drawn = sorted(figures.glob(f"{name}_*.png"))
        shutil.copyfile(drawn[-1], out / f"{name}.png")
    print(f"wrote {len(tables)} tables and {len(FIGURES)} figures to {out}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=REPOSITORY, metavar="DIR")
    args = parser.parse_args()
    try:
        root = args.root.resolve()
        folds = [FoldPaths(root, DS, fold) for fold in FOLDS]
        commit = require_one_commit([*folds, summary_paths(folds)])
        collect(root, list(FOLDS), commit, DESTINATION)
        page.write_page(DESTINATION)
        print(f"wrote {page.PAGE}")
    except (UserError, OSError) as error:
        print(f"study: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
