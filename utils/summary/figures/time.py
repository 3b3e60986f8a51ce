"""The primary metric against the seconds a method takes."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from utils.judge.comparison import ORACLE, WEIGHT
from utils.run.pictures import (
    drawing,
)
from utils.summary.figures.shared import GREY, GROUPS, LIGHT, Line, dashed, label, new_figure
from utils.summary.fold_tables import seconds_of


def time_against(
    scores: pd.DataFrame,
    ranked: list[tuple[str, str]],
    lines: dict[tuple[str, str], Line],
    seconds: dict[tuple[str, str], float],
    primary: str,
    width: str,
) -> Figure:
    """The primary metric against the seconds a method takes per fold; bars from fold to fold.

    Methods that were not timed stand at the right, beyond the last tick.
    """
    means = scores.groupby(["level", "method", "fold"])[primary].mean()
    shown = [key for level in GROUPS for key in ranked if key[0] == level and key[1] != ORACLE]
    times = {key: seconds_of(*key, seconds) for key in shown}
    timed = [x for x in times.values() if np.isfinite(x)]
    edge = 3 * max(timed)
    wide = width == "2col"
    with drawing():
        figure = new_figure(width, 3.2 if wide else 3.9)
        axes = figure.subplots()
        handles = []
        for key in shown:
            line = lines[key]
            x = times[key] if np.isfinite(times[key]) else edge
            folds = means[key].dropna().to_numpy()
            fill = line.color if key[0] == WEIGHT else "white"
            axes.plot([x, x], [folds.min(), folds.max()], color=line.color, linewidth=0.8)
            axes.plot(
                x, folds.mean(), marker=line.marker or ".", color=line.color, markersize=5,
                markerfacecolor=fill, linestyle="",
            )  # fmt: skip
            if line.highlighted:
                handles.append(
                    Line2D([], [], color=line.color, marker=line.marker, linestyle="",
                           markersize=4.5, label=label(*key, width), markerfacecolor=fill)
                )  # fmt: skip
        axes.set_xscale("log")
        if len(timed) < len(shown):
            axes.set_xlim(right=edge * 1.7)
            powers = np.arange(np.floor(np.log10(min(timed))), np.log10(edge / 1.7))
            low = axes.get_xlim()[0]
            axes.set_xticks([10**p for p in powers if low <= 10**p])  # none among the untimed
            axes.minorticks_off()
            axes.axvline(edge / 1.7, color=LIGHT, linewidth=0.8)
            axes.text(
                edge, 1.0, "not timed", transform=axes.get_xaxis_transform(), ha="center",
                va="bottom", fontsize=6.5,
            )  # fmt: skip
        if primary.startswith("lift"):
            axes.axhline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
            handles.append(dashed("random (expected)"))
        axes.set(xlabel="seconds per fold, all settings", ylabel=primary)
        highest = max(means[key].max() for key in shown)
        axes.set_ylim(0, 1.08 * max(highest, 1) if primary.startswith("lift") else 1.08 * highest)
        figure.legend(
            handles=handles, loc="outside right center" if wide else "outside lower center",
            ncols=1 if wide else 2, fontsize=6.5, frameon=False,
        )  # fmt: skip
    return figure
