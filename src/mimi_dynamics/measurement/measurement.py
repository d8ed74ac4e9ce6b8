"""The call `measure`, and the result that it gives."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from mimi_dynamics import __version__
from mimi_dynamics.measurement.efforts import Effort, effort_named
from mimi_dynamics.measurement.estimating import estimate
from mimi_dynamics.measurement.figure import figure_of
from mimi_dynamics.measurement.page import page_of
from mimi_dynamics.measurement.preparing import Prepared, prepare
from mimi_dynamics.measurement.table import table_of
from mimi_dynamics.measurement.workers import without_main_module
from mimi_dynamics.own_latents.reading import read_source
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_text
from mimi_dynamics.pipeline.parallel import one_thread_each
from mimi_dynamics.pipeline.plotting import save_figure
from mimi_dynamics.report.formatting import counted

SCHEMA_VERSION = 1
LONGEST_HORIZON = 1000
FEW_FRAMES = 500  # of test; 40,000 frames in all, as are advised, leave 4,000


@dataclass(frozen=True)
class Measurement:
    """How predictable latents were found to be; `print` shows it as a table.

    Attributes:
        effort: `fast`, `standard` or `best`.
        seed: of the split and of everything that was drawn.
        settings: of the densities.
        latents: what was measured: where from, how many clips, frames and dimensions.
        frame_rate: latents a second; None if nobody said.
        notes: what was done to the latents before, in sentences.
        codec: what the files say of the codec.
        results: gains in nats per dimension by horizon, with 95 % intervals; learning curve,
            calibration and controls.
    """

    effort: str
    seed: int
    settings: dict[str, Any]
    latents: dict[str, Any]
    frame_rate: float | None
    notes: list[str]
    codec: dict[str, Any]
    results: dict[str, Any]

    def __str__(self) -> str:
        """Give the table."""
        return table_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Give all numbers by name, as JSON can hold them."""
        return {
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            **{key: value for key, value in vars(self).items() if key != "results"},
            **self.results,
        }

    def plot(self) -> Figure:
        """Draw gains by horizon, and what was found of the controls."""
        return figure_of(self.to_dict())

    def save(self, folder: str | Path) -> Path:
        """Write `measurement.json`, `measurement.png` and `measurement.html` to a folder.

        Args:
            folder: made if it is not there.

        Returns:
            The folder.
        """
        folder = Path(folder)
        self.save_json(folder / "measurement.json")
        self.save_png(folder / "measurement.png")
        self.save_html(folder / "measurement.html")
        return folder

    def save_json(self, path: Path) -> None:
        """Write all numbers; the same measurement gives the same bytes."""
        content = json.dumps(self.to_dict(), indent=2, sort_keys=True, allow_nan=False)
        write_text(path, content + "\n")

    def save_png(self, path: Path) -> None:
        """Write the picture."""
        save_figure(self.plot(), path)

    def save_html(self, path: Path) -> None:
        """Write a page with picture and tables, which needs no other file."""
        write_text(path, page_of(self.to_dict(), self.plot()))


def measure(
    latents: object,
    groups: Sequence[str] | Mapping[str, str] | None = None,
    splits: Sequence[str] | Mapping[str, str] | None = None,
    frame_rate: float | None = None,
    horizons: Sequence[int] | None = None,
    effort: str = "fast",
    seed: int = 0,
) -> Measurement:
    """Measure how many nats per dimension the past tells about the latents that follow.

    Clips are split into train, validation and test; densities given the past and without it are
    fitted to their whitened principal components, and scored on test. The difference is the gain;
    the same of frames shuffled within their clips is what it has to exceed.

    Args:
        latents: an array or tensor (frames, dim) or (clips, frames, dim), a list of (frames, dim)
            ones or a dict of them by name, or the path of a file or folder: `.npy`, `.npz`,
            `.safetensors`, Parquet, or a store of Pocket TTS. A single clip is cut into blocks.
        groups: the group of each clip, such as who speaks, in their order or by name. No group is
            on two sides of the split, if there are at least 5.
        splits: `train`, `validation` or `test` for each clip, in their order or by name; None to
            draw them.
        frame_rate: latents a second, for times and bits; None for what the files say.
        horizons: how many frames ahead; None for 1 and 2, or 1, 2, 3, 4 and 8 beyond `fast`.
        effort: `fast` takes less than a minute for an hour of speech and gives a lower bound;
            `standard` has the settings of the pipeline; `best` tries more heads, more often.
        seed: of the split, the trainings and all else that is drawn.

    Returns:
        The gains, and how far they are to be trusted.

    Raises:
        InputError: the latents or an argument cannot be used; one line says why and what to do.

    Example:
        >>> import numpy as np, mimi_dynamics as md
        >>> noise = np.random.default_rng(0).normal(size=(40, 150, 2)).astype("float32")
        >>> found = md.measure(noise, horizons=[1])
        >>> abs(found.results["horizons"]["1"]["dynamic_gain_nats_per_dim"]) < 0.01
        True
    """
    chosen = effort_named(effort)
    wanted = checked_horizons(chosen.horizons if horizons is None else horizons)
    check_numbers(frame_rate, seed)
    with threadpool_limits(1), one_thread_each(), without_main_module():
        prepared = prepare(
            read_source(latents),
            groups,
            splits,
            frame_rate,
            seed,
            most_frames=chosen.most_frames,
        )
        return measure_prepared(prepared, effort, chosen, wanted, seed)


def measure_prepared(
    prepared: Prepared, name: str, effort: Effort, horizons: Sequence[int], seed: int
) -> Measurement:
    """Measure latents that are read, checked, split and whitened.

    Args:
        prepared: the latents.
        name: of the effort.
        effort: what is fitted.
        horizons: how many frames ahead, in ascending order.
        seed: of all that is drawn.
    """
    results = estimate(prepared, effort, horizons, seed)
    test_clips = prepared.facts["test_clips"]
    notes = [*prepared.notes]
    if test_clips < 10:
        notes.append(f"Intervals rest on {test_clips} test clips, which are few.")
    for horizon, found in results["horizons"].items():
        if found["frames"] < FEW_FRAMES:
            notes.append(
                f"{counted(int(horizon), 'frame')} ahead, only {counted(found['frames'], 'frame')} "
                "of test could be scored, which is too few to tell much."
            )
    return Measurement(
        effort=name,
        seed=seed,
        settings=effort.settings.model_dump() | {"beside": list(effort.beside)},
        latents=prepared.facts,
        frame_rate=prepared.frame_rate,
        notes=notes,
        codec=prepared.codec,
        results=results,
    )


def checked_horizons(horizons: Sequence[int]) -> list[int]:
    """Check horizons, and give them in ascending order.

    Raises:
        InputError: one is no whole number above 0, or there is none.
    """
    is_list = isinstance(horizons, Iterable) and not isinstance(horizons, str)
    wanted = list(horizons) if is_list else []
    if not wanted or not all(
        isinstance(k, Integral) and not isinstance(k, bool) and 0 < k <= LONGEST_HORIZON
        for k in wanted
    ):
        raise InputError(
            f"horizons = {wanted if is_list else horizons!r}: must be a list of whole numbers of "
            f"frames from 1 to {LONGEST_HORIZON}, such as [1, 2]"
        )
    return sorted({int(k) for k in wanted})


def check_numbers(frame_rate: float | None, seed: int) -> None:
    """Check the other arguments that are numbers.

    Raises:
        InputError: one is out of range.
    """
    if frame_rate is not None and not (
        isinstance(frame_rate, Real)
        and not isinstance(frame_rate, bool)
        and 0 < frame_rate < float("inf")
    ):
        raise InputError(
            f"frame_rate = {frame_rate!r}: must be a number of latents a second above 0"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed = {seed!r}: must be a whole number, 0 or above")
