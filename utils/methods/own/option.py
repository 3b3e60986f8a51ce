"""The option --methods, and what the ledger knows of the files that it named."""

import argparse
from pathlib import Path

from utils.methods.chosen import Methods
from utils.methods.method import SOURCE, Method
from utils.methods.own.load import code_digest, load_methods
from utils.run.ledger import Ledger
from utils.run.record import FILES


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--methods",
        type=Path,
        metavar="FILE.py",
        help="methods of your own: functions marked with @fl_method of utils.methods.own",
    )


def methods_of(args: argparse.Namespace, ours: Methods) -> dict[tuple[str, str], Method]:
    """The user's methods that a step was given, by (level, name).

    ours : the methods whose names are taken.
    """
    path = getattr(args, "methods", None)
    return {} if path is None else load_methods(path, ours)


def why_edited(ledger: Ledger, key: str) -> str | None:
    """What has changed in the file whose method made task `key`, in words.

    None if nothing has, if no such file made it, and if the file is somewhere else now.
    """
    digest = ledger.content["tasks"][key]["recipe"]["constants"].get(SOURCE)
    name = ledger.content.get(FILES, {}).get(digest)
    if name is None or not Path(name).is_file():
        return None
    try:
        same = code_digest(Path(name), ledger.hashes) == digest
    except (SyntaxError, ValueError):  # what it imports is no Python now
        same = False
    return None if same else f"{name}, or what it imports, has changed"
