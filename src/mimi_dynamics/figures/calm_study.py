"""Figure and tables of the CALM study in `plots/calm_study.csv`: stabilisers, sizes and data."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mimi_dynamics.figures.bet4_study import NAMES
from mimi_dynamics.figures.calm import COLOURS
from mimi_dynamics.pipeline.plotting import STYLE

COLOUR_OF = {
    "consistency": COLOURS["calm"],
    "lsd": "#d996ae",
    "ours": COLOURS["ours"],
    "predictor": COLOURS["predictor"],
}
SCALE_NAMES = {"parameters": "parameters", "clips": "clips of train"}


def stabilisers(table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows in which a stabiliser is off."""
    return table[table["without"].notna()]


def cells(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Give the rows of every size and share of the clips, by contender, of those that have them."""
    rows = table[table["without"].isna()]
    return {str(name): of for name, of in rows.groupby("row", sort=False) if len(of) > 1}


def study_lines(study: Mapping[str, Any], table: pd.DataFrame) -> list[str]:
    """Write the study as lines of Markdown.

    Args:
        study: the content of `metrics/detail/calm_study.json`.
        table: the rows of `plots/calm_study.csv`.
    """
    return [
        "### Stabilisers switched off, one at a time",
        "",
        "| | without | 10¹² operations | energy score | worse than with all |",
        "|---|---|---|---|---|",
        *(
            f"| {NAMES[row['row']]} | {str(row['without']).replace('_', ' ')}"
            f" | {row['train_flops'] / 1e12:.2f} | {row['energy_score']:.3f} | {row['worse']:+.3f}"
            f" [{row['worse_low']:+.3f}, {row['worse_high']:+.3f}] |"
            for _, row in stabilisers(table).iterrows()
        ),
        "",
        "### Three sizes on three amounts of data",
        "",
        *scale_lines(table),
        "",
        "Change of the score with each doubling, less being better:",
        "",
        f"| | of the {' | of the '.join(SCALE_NAMES.values())} |",
        "|---|---|---|",
        *(
            f"| {NAMES.get(name, 'ours less CALM')} | {' | '.join(with_ends(of))} |"
            for name, of in study["per_doubling"].items()
        ),
    ]


def with_ends(slopes: Mapping[str, float]) -> list[str]:
    """Write the changes for both scales with their intervals."""
    return [
        f"{slopes[of]:+.3f} [{slopes[f'{of}_ci_low']:+.3f}, {slopes[f'{of}_ci_high']:+.3f}]"
        for of in SCALE_NAMES
    ]


def scale_lines(table: pd.DataFrame) -> list[str]:
    """Write the scores by contender, size and share of the clips as lines of Markdown."""
    shares = sorted(table["clips"].unique())
    calm = next(iter(cells(table).values()))  # it comes first
    passes = dict(zip(calm["clips"], calm["passes"], strict=True))
    heads = [f"{share:.0%} of the clips, {passes[share]} passes" for share in shares]
    lines = [
        f"| | parameters | {' | '.join(heads)} |",
        "|---|---|" + "---|" * len(shares),
    ]
    for name, rows in cells(table).items():
        for _, of in rows.groupby("width"):
            scores = of.sort_values("clips")["energy_score"]
            of_share = " | ".join(f"{score:.3f}" for score in scores)
            lines.append(f"| {NAMES[name]} | {of['params'].iloc[0]:,} | {of_share} |")
    return lines


def study_figure(table: pd.DataFrame) -> Figure:
    """Draw what each stabiliser is worth, and how scores change with model size and data.

    Args:
        table: the rows of `plots/calm_study.csv`.
    """
    by_row = cells(table)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(14, 4.8), layout="constrained")
        widths = [5, *(2.6 for _ in by_row)]
        left, *others = figure.subplots(1, 1 + len(by_row), width_ratios=widths)
        _draw_stabilisers(left, stabilisers(table))
        for axes, (name, rows) in zip(others, by_row.items(), strict=True):
            _draw_scales(axes, rows, COLOUR_OF[name])
            axes.set_title(NAMES[name], loc="left", fontsize=10)
        ends = [end for axes in others for end in axes.get_ylim()]
        for axes in others:
            axes.set_ylim(min(ends), max(ends))
        others[0].set_ylabel("energy score, mean of both leads: less is better")
        others[-1].legend(title="clips of train", frameon=False, fontsize=8, title_fontsize=8)
    return figure


def _draw_stabilisers(axes: Axes, rows: pd.DataFrame) -> None:
    at = np.arange(len(rows))
    errors = np.abs([rows["worse"] - rows["worse_low"], rows["worse_high"] - rows["worse"]])
    colours = [COLOUR_OF[name] for name in rows["row"]]
    axes.barh(at, rows["worse"], 0.6, xerr=errors, color=colours, error_kw={"lw": 0.8})
    names = rows["row"].map(NAMES) + ", no " + rows["without"].str.replace("_", " ")
    axes.set_yticks(at, names)
    axes.invert_yaxis()
    axes.axvline(0, color="#222222", lw=0.8)
    axes.set_xlabel("energy score on top of what it is with all of them:\nright = it was needed")
    axes.set_title("What is each stabiliser worth?", loc="left")


def _draw_scales(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    """Draw scores over size; the more clips, the darker.

    The bars are the intervals of the difference to the unchanged contender, for all are scored on
    the same clips.
    """
    for share, of in rows.groupby("clips"):
        of = of.sort_values("params")
        errors = [of["worse"] - of["worse_low"], of["worse_high"] - of["worse"]]
        axes.errorbar(
            of["params"] / 1e3,
            of["energy_score"],
            errors,
            fmt="o-",
            ms=4,
            capsize=3,
            color=colour,
            alpha=0.25 + 0.75 * float(share),
            label=f"{share:.0%}",
        )
    axes.set_xscale("log")
    axes.minorticks_off()
    ticks = sorted((rows["params"] / 1e3).unique())
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    axes.set_xlabel("parameters, thousands")
