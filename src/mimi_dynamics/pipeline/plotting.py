"""Figures for people who look rather than read; same numbers, same bytes."""

from pathlib import Path

from matplotlib.figure import Figure

from mimi_dynamics.pipeline.files import atomic_path

STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG without date or version, so that the same figure has the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
