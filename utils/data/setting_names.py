"""What settings are called and in which order they stand, and the columns of settings.csv."""

from collections.abc import Iterable

ALL = "all"
COLUMNS = [
    "setting",
    "misclf_type",
    "fpfn",
    "rank",
    "pred_label",
    "true_label",
    "tgt_label",
    "n_neg",
    "n_pos",
    "status",
    "reason",
    "pred_name",
    "true_name",
    "tgt_name",
    "n_neg_test",
]
# Kinds of settings in the order of settings.csv; a name is one of them and its rank.
KINDS = (ALL, "src_tgt", "tgt", "tgt_fp", "tgt_fn")


def in_order(settings: Iterable[str]) -> list[str]:
    """Different names of settings as settings.csv has them, whichever fold lacks one of them."""
    return sorted(dict.fromkeys(settings), key=_place)


def _place(setting: str) -> tuple[int, int, str]:
    kind, _, rank = setting.partition("_top")
    return (
        KINDS.index(kind) if kind in KINDS else len(KINDS),
        int(rank) if rank.isdigit() else 0,
        setting,
    )
