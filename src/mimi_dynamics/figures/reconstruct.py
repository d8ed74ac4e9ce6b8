"""The figure of the quality of decoded speech, by way of decoding."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.pipeline.conventions import WAYS
from mimi_dynamics.pipeline.plotting import STYLE

COLOURS = {"test": "#1b6ca8", "test_voice": "#d98324", "english": "#4b9b69"}
SPLITS = {"test": "new recordings", "test_voice": "a new voice", "english": "English recordings"}
PANELS = {  # measure: title, scale
    "log_mel": ("Spectrum: log-mel distance\nnepers, shorter is better", 1),
    "estoi": ("Intelligibility: ESTOI\n%, longer is better", 100),
    "pitch_voicing_agreement": ("Voiced or not: agreement\n%, longer is better", 100),
    "word_error_rate": ("Words a recogniser then gets wrong\n%, shorter is better", 100),
}


def reconstruct_figure(table: pd.DataFrame) -> Figure:
    """Draw bars with intervals: a panel for every measure, a bar for every way and split.

    Args:
        table: one row for each `split` and `way`, with measures that have `_ci_low` and `_ci_high`;
            none where there is no audio.
    """
    shown = {name: panel for name, panel in PANELS.items() if name in table}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3 + 2.8 * len(shown), 4.2), layout="constrained")
        if not shown:
            figure.text(0.5, 0.5, "nothing was decoded", ha="center")
            return figure
        # A codec without codes has no ways of decoding from codes.
        ways = [way for way in WAYS if (table["way"] == way).any()]
        grid = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, (name, (title, scale)) in zip(grid, shown.items(), strict=True):
            rows = table[table[name].notna()]
            _bars(axes, rows, ways, name, scale)
            axes.set_title(title, loc="left", fontsize=10)
        grid[0].set_yticks(range(len(ways)), [WAYS[way] for way in ways])
        grid[0].invert_yaxis()
        handles = [mpl.patches.Patch(color=COLOURS[s], label=SPLITS[s]) for s in SPLITS]
        figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=3)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, ways: Sequence[str], name: str, scale: float) -> None:
    splits = [split for split in SPLITS if (rows["split"] == split).any()]
    height = 0.8 / len(splits)
    for number, split in enumerate(splits):
        of = rows[rows["split"] == split].set_index("way").reindex(ways)
        value = scale * of[name]
        ends = [scale * of[f"{name}_ci_low"], scale * of[f"{name}_ci_high"]]
        place = np.arange(len(ways)) + (number - (len(splits) - 1) / 2) * height
        axes.barh(place, value, 0.9 * height, color=COLOURS[split], alpha=0.85)
        axes.hlines(place, *ends, color="#222222", lw=1)
