"""The options of the numbered scripts, and commands in messages completed with them."""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from utils import constants as user_constants
from utils.errors import UserError
from utils.run.constant_rules import more_repeats
from utils.run.folders import require_known_data
from utils.run.ledger import ONLY_FOLDS
from utils.run.paths import FoldPaths

USER_MISTAKE = 2
# Options for inputs that do not lie below --root, and what they point to.
ROOTS = {"--data-root": "dataset/", "--training-root": "out_vit_*/"}
# Bytes of a file's name, and of a data set's, which stands in those of folders, logs and locks.
MOST_NAME, MOST_DS = 255, 100
# Steps that take a user's own methods.
TAKE_METHODS = ("5", "9", "10")


class OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}", file=sys.stderr)
        raise SystemExit(USER_MISTAKE)


def parse_arguments(
    step: int, description: str, add_options: Callable[[argparse.ArgumentParser], None] | None
) -> argparse.Namespace:
    parser = OneLineParser(
        prog=f"exp-fl-5-{step}.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--ds",
        default=user_constants.DEFAULT_DS,
        help=f"data set: {', '.join(user_constants.PROFILES)}, or one that you add to PROFILES in "
        "utils/constants.py (default: %(default)s)",
    )
    parser.add_argument(
        "--fold",
        type=int,
        nargs="+",
        default=list(user_constants.FOLDS),
        metavar="K",
        help="fold numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(),
        help="folder that holds dataset/, out_vit_*/ and exp-fl-5/ (default: here)",
    )
    for name, folder in ROOTS.items():
        parser.add_argument(
            name, type=Path, metavar="DIR", help=f"folder that holds {folder} (default: --root)"
        )
    parser.add_argument(
        "--repair-split",
        metavar="NAME",
        help="the split that is taken as 'repair' (default: repair, else the only one called "
        "validation, valid, val, dev or eval)",
    )
    parser.add_argument("--force", action="store_true", help="redo what is already done")
    parser.add_argument(
        "--verbose", action="store_true", help="show every line of the log on the terminal too"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="work on N folds at a time, each in a process of its own that needs the memory of one "
        "fold; with a GPU they share it (default: %(default)s)",
    )
    if step > 0:
        add_pair(parser)
    if add_options:
        add_options(parser)
    return parser.parse_args()


def add_pair(parser: argparse.ArgumentParser) -> None:
    for name, default in (("m1", "the one before M2"), ("m2", "the highest")):
        parser.add_argument(
            f"--{name}",
            type=int,
            dest=f"{name}_step",
            metavar="STEP",
            help=f"step of the checkpoint that is {name.upper()} (default: {default})",
        )
    parser.add_argument(
        "--accept-pair",
        action="store_true",
        help="take M1 and M2 even if they are not one epoch apart in one run",
    )


def add_budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--n", type=int, nargs="+", metavar="N", help="neuron budgets (default: d/8)"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")


def add_halves(parser: argparse.ArgumentParser) -> None:
    """A step in two: each fold, where many machines work on folds; then the summary."""
    halves = parser.add_mutually_exclusive_group()
    halves.add_argument(
        ONLY_FOLDS, action="store_true", help="work on the folds, and leave the summary out"
    )
    halves.add_argument(
        "--only-summary",
        action="store_true",
        help="make the summary of folds on which all is done; others are refused",
    )
    parser.add_argument(
        "--mix-constants",
        action="store_true",
        help="summarise folds even if they were made with different constants",
    )


def check_lengths(args: argparse.Namespace) -> None:
    """Refuse names that no file can have: bytes count, with all that is put before and behind."""
    for name, value in vars(args).items():
        most = MOST_DS if name == "ds" else MOST_NAME
        for part in Path(value).parts if isinstance(value, str | Path) else ():
            if len(os.fsencode(part)) > most:
                raise UserError(
                    f"--{name.replace('_', '-')}: the name {part[:40]}... has "
                    f"{len(os.fsencode(part))} bytes, and files here can have {most}; give a "
                    "shorter one"
                )


def check_arguments(step: int, args: argparse.Namespace) -> None:
    check_lengths(args)
    if getattr(args, "jobs", 1) < 1:
        raise UserError(f"--jobs is {args.jobs}; expected the number of folds to work on at a time")
    require_known_data(step, args)
    last = user_constants.REPEATS * user_constants.N_FOLDS - 1
    for fold in args.fold:
        if not 0 <= fold <= last:
            more = "" if fold < 0 else more_repeats(fold, user_constants.N_FOLDS)
            raise UserError(f"fold {fold} does not exist; --fold takes 0 to {last}{more}")
    repeated = sorted({fold for fold in args.fold if args.fold.count(fold) > 1})
    if repeated:
        raise UserError(f"fold {repeated[0]} is given twice; name each fold once")
    for name, folder in ({"--root": "dataset/"} | ROOTS).items():
        path = vars(args)[name[2:].replace("-", "_")]
        if path is not None and not path.is_dir():
            raise UserError(f"{path} is not a folder; {name} names the one that holds {folder}")


def whole_commands(message: str, paths: FoldPaths, args: argparse.Namespace) -> str:
    """Complete each `run exp-fl-5-<i>.py` of a message with the options of this call."""
    where = f" --ds {paths.ds} --fold {paths.fold}"
    for name in ("root", *(root[2:].replace("-", "_") for root in ROOTS)):
        folder = getattr(args, name, None)
        if folder is not None and (name, folder) != ("root", Path()):
            where += f" --{name.replace('_', '-')} {shlex.quote(str(folder))}"
    pair = ""
    for name in ("m1", "m2"):
        step = getattr(args, f"{name}_step", None)
        pair += "" if step is None else f" --{name} {step}"
    if getattr(args, "accept_pair", False):
        pair += " --accept-pair"
    if paths.repair_split:
        where += f" --repair-split {shlex.quote(paths.repair_split)}"
    given = getattr(args, "methods", None)
    methods = "" if given is None else f" --methods {shlex.quote(str(given))}"
    return re.sub(
        rf"(run exp-fl-5-(\d+)\.py(?: {ONLY_FOLDS})?)(?! --)",
        # Step 0 makes the checkpoints, it does not choose among them.
        lambda found: (
            found[1]
            + where
            + (pair if found[2] != "0" else "")
            + (methods if found[2] in TAKE_METHODS else "")
        ),
        message,
    )
