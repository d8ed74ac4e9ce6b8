"""Save figures so that the same numbers always give the same bytes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from mimi_dynamics.pipeline.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # only newer versions of matplotlib have it

STYLE: "dict[RcKeyType, Any]" = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without date or version, so that it always has the same bytes."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})
