"""What a handful of folds cannot say, in words."""


def signed_rank_floor(n_folds: int) -> float:
    """The smallest two-sided p an exact signed-rank test can give: 2 / 2^folds."""
    return min(1.0, 2.0 ** (1 - n_folds))


def signed_rank_note(n_folds: int, level: float = 0.05) -> str:
    """One sentence for the report on why there is, or is not, a signed-rank test."""
    floor = signed_rank_floor(n_folds)
    folds = f"{n_folds} fold{'s' if n_folds != 1 else ''}"
    smallest = (
        f"With {folds} the smallest p that an exact two-sided signed-rank test can give is "
        f"{floor:.4g}"
    )
    if floor > level:
        return f"{smallest}: it cannot reject at {level:g}, whatever the data, and is not reported."
    return f"{smallest}."


# In the place of `signed_rank_note` where folds are of several repeats.
NO_SIGNED_RANK = (
    "A signed-rank test needs independent folds; those of different repeats split the same data, "
    "so none is reported, and no smallest p."
)


def left_out(n_folds: int) -> str:
    """One sentence on what too few folds leave out; empty if nothing."""
    if n_folds < 2:
        return (
            "One fold has no variance across folds: intervals, p values, effect sizes and the "
            "intra-class correlation are left out; only the differences themselves are given."
        )
    if n_folds == 2:
        return (
            "Two folds do not bound the wild cluster bootstrap interval: it runs from minus to "
            "plus infinity at 95%."
        )
    return ""
