"""Running a user's file of methods, and the hash of it and of what it imports."""

import sys
from functools import cache, partial
from pathlib import Path
from types import ModuleType

from utils.errors import UserError
from utils.methods.chosen import Methods
from utils.methods.method import Method
from utils.methods.own.call import in_words, own_scores
from utils.methods.own.guard import undisturbed
from utils.methods.own.mark import MARK
from utils.methods.own.names import why_no_function
from utils.run.code import Source, digest_of, read_code
from utils.run.hashing import REPOSITORY, HashCache, hash_file

STEP = 5
# What a file imports the decorator from; the functions behind it are on record by themselves.
DOOR = "utils.methods.own"


def load_methods(path: Path, ours: Methods) -> dict[tuple[str, str], Method]:
    """The methods that a file of the user's defines, by (level, name), in the file's order.

    ours : the methods whose names are taken.

    Raises
    ------
    UserError : the file cannot be read or run, or defines none, or one twice.
    """
    module, digest = run_file(path)
    found: dict[tuple[str, str], Method] = {}
    for function in vars(module).values():
        mark = getattr(function, MARK, None) if callable(function) else None
        if mark is None:
            continue
        reason = why_no_function(mark.level, mark.name, ours)
        if reason:
            raise UserError(f"--methods {path} cannot be run: {reason}")
        key = (mark.level, mark.name)
        if key in found and found[key].function.args[0] is not function:
            raise UserError(f"--methods {path} defines {'/'.join(key)} twice; rename one of them")
        found[key] = Method(
            *key,
            STEP,
            partial(own_scores, function, *key, path),
            per_setting=mark.per_setting,
            constants=("IG_POINTS", "SEED"),
            source=digest,
            file=path.resolve(),
        )
    if not found:
        raise UserError(
            f"--methods {path} defines no method; mark its functions with @fl_method(level, name) "
            "of utils.methods.own"
        )
    return found


@cache
def run_file(path: Path) -> tuple[ModuleType, str]:
    """The module that a user's file is, and the hash of its code; run once per process.

    What lies beside the file can be imported from it.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--methods {path} cannot be read: {error.strerror}; name a Python file"
        ) from None
    module = ModuleType(f"own_methods_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up their module
    if str(path.resolve().parent) not in sys.path:
        sys.path.append(str(path.resolve().parent))
    try:
        with undisturbed():
            exec(compile(source, path, "exec"), vars(module))
        return module, code_digest(path, HashCache(Path()))  # of no file: nothing is remembered
    except (Exception, SystemExit) as error:
        raise UserError(f"--methods {path} cannot be run: {in_words(error, path)}") from None


def code_digest(path: Path, hashes: HashCache) -> str:
    """Hash of a user's file and of all that it imports, of what lies beside it and of ours."""
    path = path.resolve()
    source = Source(hashes, (REPOSITORY, path.parent))
    try:
        digest, imported = read_code(path, path.stem)
    except UnicodeDecodeError:  # written in another encoding, which its first lines name
        digest, imported = hash_file(path), []
    found = {path.name: digest}
    for name in imported:
        parts = name.split(".")
        if parts[0] == "utils":
            if not name.startswith(DOOR):
                found |= source.closure(name) or source.closure(name.rpartition(".")[0])
        else:  # a package of the user's runs its __init__.py first
            for end in range(len(parts)):
                found |= source.closure(".".join(parts[: end + 1]))
    return digest_of(dict(sorted(found.items())))
