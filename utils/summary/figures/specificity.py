"""Does a method find the weights of its own failures? Lift by setting and truth's setting."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from utils.data.setting_names import in_order
from utils.drawing import drawing
from utils.summary.figures.settings import fraction
from utils.summary.figures.shared import SMALL, label, new_figure
from utils.summary.rankings import Key

MOST_PANELS = {"1col": 2, "2col": 4}


def specificity_map(lifts: pd.DataFrame, column: str, best: list[Key], width: str) -> Figure:
    """Mean over folds of each ranking's lift against each setting's repair truth.

    The diagonal is a method against its own failures.

    lifts : the folds' specificity tables, one below the other; column : the lift's.
    best : (level, method), the ones to show first.
    """
    keys = [key for key in best if has_settings(lifts, key)][: MOST_PANELS[width]]
    settings = in_order(lifts["setting"])
    mean = lifts.groupby(["level", "method", "setting", "truth_setting"])[column].mean()
    panels = [
        mean[key].unstack("truth_setting").reindex(index=settings, columns=settings).to_numpy()
        for key in keys
    ]
    wide = width == "2col"
    size = SMALL[width]
    columns = 2 if wide else 1
    rows = -(-len(keys) // columns)
    reach = max(1.0, float(np.log2(np.nanmax(np.stack(panels)))))
    colours = matplotlib.colormaps["PuOr"].with_extremes(bad="#EEEEEE")
    with drawing():
        figure = new_figure(width, 2.55 * rows + 0.5)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes in grid.ravel()[len(keys) :]:
            axes.axis("off")
        for axes, key, values in zip(grid.ravel(), keys, panels, strict=False):
            with np.errstate(divide="ignore"):
                shades = np.clip(np.log2(values), -reach, reach)
            image = axes.imshow(shades, cmap=colours, norm=Normalize(-reach, reach), aspect="auto")
            axes.set_title(label(*key, width), fontsize=size + 1, parse_math=False)
            axes.set_xticks(range(len(settings)), settings, rotation=90, fontsize=size)
            axes.set_yticks(range(len(settings)), settings, fontsize=size)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=grid, shrink=0.7, aspect=30, pad=0.01)
        powers = range(int(reach), -int(reach) - 1, -1)
        ticks = [2.0**power for power in powers][:: max(1, len(powers) // 7)]
        bar.set_ticks(np.log2(ticks), labels=[fraction(tick) for tick in ticks])
        bar.set_label(f"{column} (1 is chance)", fontsize=size)
        bar.ax.tick_params(labelsize=size)
        figure.supxlabel("failures that the truth is made of", fontsize=size + 0.5)
        figure.supylabel("failures that the method saw", fontsize=size + 0.5)
    return figure


def has_settings(lifts: pd.DataFrame, key: Key) -> bool:
    """Whether a method has a ranking of its own for each setting."""
    rows = lifts[(lifts["level"] == key[0]) & (lifts["method"] == key[1])]
    return rows["setting"].nunique() > 1
