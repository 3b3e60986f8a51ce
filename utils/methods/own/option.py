"""The option --methods, and what the ledger knows of the files that it named."""

import argparse
from pathlib import Path

from utils.methods.chosen import Methods
from utils.methods.method import SOURCE, Method
from utils.methods.own.load import code_digest, load_methods
from utils.run.ledger import Ledger

# Where provenance.json keeps the place of each file, by the hash of its code.
FILES = "files of methods"


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


def remember_file(ledger: Ledger, method: Method) -> None:
    """Note where the file of a user's method lies, so that `why_edited` finds it again."""
    if method.file is None:
        return
    tasks = ledger.content["tasks"].values()
    on_record = {task["recipe"]["constants"].get(SOURCE) for task in tasks}
    files = {k: v for k, v in ledger.content.get(FILES, {}).items() if k in on_record}
    ledger.content[FILES] = files | {method.source: str(method.file)}


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
