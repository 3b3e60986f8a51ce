"""The folds that a call names, and whether the folders they are made from are there."""

import argparse
import re

from utils.constants import PROFILES
from utils.errors import UserError
from utils.run.paths import FoldPaths
from utils.run.profiles import profile_of, step_0_or


def require_known_data(step: int, args: argparse.Namespace) -> None:
    """Refuse a data set without a profile, unless a fold of it is there: step 0 alone needs one."""
    if profile_of(args.ds):
        return
    known = ", ".join(PROFILES)
    known = (
        f"--ds takes one of {known}, or another one that you add to PROFILES in utils/constants.py"
    )
    if re.fullmatch(r"\w[\w.-]*", args.ds):
        there = [paths for paths in fold_paths(args) if paths.training.is_dir()]
        if there and step > 0:
            return
        if there:
            raise UserError(
                f"step 0 makes and trains folds after a profile, and {args.ds!r} has none in "
                "PROFILES of utils/constants.py; steps 1 to 10 take its folders as they are"
            )
        where = fold_paths(args)[0].training
        known = f"there is no {where.name} in {where.parent.resolve()} (--root); {known}"
    raise UserError(f"unknown data set {args.ds!r}; {known}")


def fold_paths(args: argparse.Namespace) -> list[FoldPaths]:
    """The folds that a call names."""
    repair = getattr(args, "repair_split", None)
    return [
        FoldPaths(args.root, args.ds, fold, args.data_root, args.training_root, repair)
        for fold in args.fold
    ]


def require_inputs(paths: FoldPaths, needs: tuple[str, ...]) -> None:
    """The folders that step 0 makes, or that come from elsewhere in the same layout."""
    for folder in (getattr(paths, need) for need in needs):
        if not folder.is_dir():
            root = "--data-root" if folder == paths.dataset else "--training-root"
            raise UserError(
                f"{folder.name} does not exist in {folder.parent.resolve()}; "
                f"{step_0_or(paths, 'run exp-fl-5-0.py first, or ')}put the folder there, or name "
                f"another place with --root (or {root})"
            )
