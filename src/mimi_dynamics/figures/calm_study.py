"""Figure and tables of the CALM study in `plots/calm_study.csv`: stabilisers, sizes and data."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mimi_dynamics.figures.calm import COLOURS
from mimi_dynamics.figures.calm import LABELS as LEGENDS
from mimi_dynamics.pipeline.plotting import STYLE

LABELS = {"calm": "CALM", "ours": "z_dyn, z_rec, x", "predictor": "plain predictor"}
TITLES = {
    "ablation": "Stabilisers switched off, one at a time",
    "size": "Size",
    "data": "Data",
}
SCALED = {"size": "parameters", "data": "share of the clips of train"}


def study_lines(table: pd.DataFrame) -> list[str]:
    """Write all studies as lines of Markdown, one table for each study.

    Args:
        table: the rows of `plots/calm_study.csv`.
    """
    lines = []
    for study, rows in table.groupby("study", sort=False):
        lines += ["", f"## {TITLES[study]}", ""]
        lines += ["| | variant | parameters | TFLOP | energy score | less that of `all` |"]
        lines += ["|---|---|---|---|---|---|"]
        lines += [
            f"| {LABELS[row['row']]} | {row['variant']} | {row['params']:,}"
            f" | {row['train_flops'] / 1e12:.2f} | {row['energy_score']:.3f} | {row['worse']:+.3f}"
            f" [{row['worse_low']:+.3f}, {row['worse_high']:+.3f}] |"
            for _, row in rows.iterrows()
        ]
        if study in SCALED:
            slopes = [f"{LABELS[name]} {per_doubling(of):+.4f}" for name, of in by_row(rows)]
            lines += ["", f"Score per doubling of the {SCALED[study]}: {', '.join(slopes)}."]
    return lines


def by_row(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Give each contender's name with its variants, sorted from small to large."""
    rows = rows.assign(scale=scale_of(rows))
    return [(name, of.sort_values("scale")) for name, of in rows.groupby("row", sort=False)]


def scale_of(rows: pd.DataFrame) -> pd.Series:
    """Give the quantity that grows in a study: parameters, or the share of the train clips.

    Args:
        rows: the rows of one study.
    """
    if rows["study"].iloc[0] == "size":
        return rows["params"].astype(float)
    return rows["variant"].replace("all", "1").astype(float)


def per_doubling(rows: pd.DataFrame) -> float:
    """Fit by least squares how the score changes when the quantity of `scale_of` doubles.

    Args:
        rows: the rows of one contender in one study, from `by_row`.
    """
    return float(np.polyfit(np.log2(rows["scale"]), rows["energy_score"], 1)[0])


def study_figure(table: pd.DataFrame) -> Figure:
    """Draw what each stabiliser is worth, and how scores change with model size and data.

    Args:
        table: the rows of `plots/calm_study.csv`.
    """
    ablation = table[(table["study"] == "ablation") & (table["variant"] != "all")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(14, 4.8), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=[5, 4, 4])
        _ablation(left, ablation)
        size, data = (table[table["study"] == study] for study in SCALED)
        _scaling(middle, size, size["train_flops"] / 1e12)
        _scaling(right, data, 100 * scale_of(data))
        middle.set_xlabel("operations spent on training, 10¹²")
        middle.set_ylabel("energy score, mean over all leads: less is better")
        right.set_xlabel("clips of train, %")
        middle.set_title("Larger models?", loc="left")
        right.set_title("More data?", loc="left")
        right.sharey(middle)
        shares = sorted(set(100 * scale_of(data)))
        right.set_xticks(shares, [f"{share:g}" for share in shares])
        handles = middle.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower right", ncols=3, frameon=False, fontsize=9)
    return figure


def _ablation(axes: Axes, rows: pd.DataFrame) -> None:
    at = np.arange(len(rows))
    errors = np.abs([rows["worse"] - rows["worse_low"], rows["worse_high"] - rows["worse"]])
    colours = [COLOURS[name] for name in rows["row"]]
    axes.barh(at, rows["worse"], 0.6, xerr=errors, color=colours, error_kw={"lw": 0.8})
    names = rows["row"].map(LABELS) + " " + rows["variant"].str.replace("_", " ")
    axes.set_yticks(at, names)
    axes.invert_yaxis()
    axes.axvline(0, color="#222222", lw=0.8)
    axes.set_xlabel("energy score on top of what it is with all of them:\nright = it was needed")
    axes.set_title("What is each stabiliser worth?", loc="left")


def _scaling(axes: Axes, rows: pd.DataFrame, x: pd.Series) -> None:
    """Draw scores with bars for the interval of the difference to the variant `all`.

    The bars show the difference because all variants are scored on the same clips.
    """
    for name, of in rows.assign(x=x).groupby("row", sort=False):
        of, colour = of.sort_values("x"), COLOURS[name]
        errors = [of["worse"] - of["worse_low"], of["worse_high"] - of["worse"]]
        axes.errorbar(
            of["x"],
            of["energy_score"],
            errors,
            fmt="o-",
            ms=4,
            capsize=3,
            color=colour,
            label=LEGENDS[name],
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
