"""Draw every table of plots/ as a picture.

Drawing is a stage of its own, so that to change a colour no other stage has to run again.

    python src/figures.py        (or: dvc repro figures)

Reads plots/*.csv, and from metrics/detail/ the numbers in the titles of two pictures.
Writes plots/*.png. If a stage has not run, its table is missing and its picture is left out.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mimi_dynamics.figures.calm import calm_figure
from mimi_dynamics.figures.codec_quality import codec_quality_figure
from mimi_dynamics.figures.codec_table import codec_table_figure
from mimi_dynamics.figures.codes import codes_figure
from mimi_dynamics.figures.engram import engram_figure
from mimi_dynamics.figures.gains import (
    calibration_figure,
    controls_figure,
    gains_figure,
    horizons_figure,
)
from mimi_dynamics.figures.learning_curve import learning_curve_figure
from mimi_dynamics.figures.ranking import ranking_figure
from mimi_dynamics.figures.reconstruct import reconstruct_figure
from mimi_dynamics.figures.recurrence import recurrence_figure
from mimi_dynamics.figures.rollout import rollout_figure
from mimi_dynamics.figures.rssm import rssm_figure
from mimi_dynamics.figures.structure import structure_figure
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.metrics import detail_path, read_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.pipeline.stage import run_stage

PLOTS = Path("plots")


def figures(_: Params) -> None:
    """Run the stage."""
    for name, draw in FIGURES.items():
        if (PLOTS / f"{name}.csv").exists():
            save_figure(draw(), PLOTS / f"{name}.png")


def table(name: str) -> pd.DataFrame:
    """Read plots/<name>.csv as its stage wrote it."""
    path = require(PLOTS / f"{name}.csv", name.partition("_")[0])
    return pd.read_csv(path, dtype={"neighbours": "Int64"})


def draw_predict() -> Figure:
    """Draw the gains on real data beside those on every surrogate."""
    metrics = read_metrics(detail_path("predict"))
    return gains_figure(table("predict"), metrics["horizon_frames"], metrics["best_head"])


def draw_rollout() -> Figure:
    """Draw the skill of free-running forecasts on the test split."""
    return rollout_figure(table("rollout").query("split == 'test'"))


def draw_recurrence() -> Figure:
    """Draw how much variance is explained by lookups with every key and metric."""
    metrics = read_metrics(detail_path("recurrence"))
    best = metrics["best"]["key"], metrics["best"]["metric"]
    lookups = table("recurrence").fillna({"metric": ""})
    return recurrence_figure(lookups, best)


def draw_rssm() -> Figure:
    """Draw the ease of states against their fidelity, and how training met the budgets."""
    return rssm_figure(table("rssm"), table("rssm_training"))


def draw_calm() -> Figure:
    """Draw the skill on the test split, the cost, and the distances between windows."""
    skill = table("calm").query("split == 'test'")
    return calm_figure(skill, table("calm_cost"), table("calm_windows"))


FIGURES: dict[str, Callable[[], Figure]] = {  # Each name is that of the table and of the picture.
    "predict": draw_predict,
    "learning_curve": lambda: learning_curve_figure(table("learning_curve")),
    "calibration": lambda: calibration_figure(table("calibration")),
    "controls": lambda: controls_figure(table("controls")),
    "horizons": lambda: horizons_figure(table("horizons")),
    "structure": lambda: structure_figure(table("structure")),
    "codec_table": lambda: codec_table_figure(table("codec_table")),
    "codec_quality": lambda: codec_quality_figure(table("codec_quality")),
    "codes": lambda: codes_figure(table("codes")),
    "reconstruct": lambda: reconstruct_figure(table("reconstruct")),
    "rollout": draw_rollout,
    "recurrence": draw_recurrence,
    "rssm": draw_rssm,
    "engram": lambda: engram_figure(table("engram")),
    "calm": draw_calm,
    "ranking_study": lambda: ranking_figure(table("ranking_study"), table("ranking_sets")),
}


if __name__ == "__main__":
    run_stage(figures)
