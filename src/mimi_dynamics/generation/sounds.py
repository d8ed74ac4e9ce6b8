"""Sounds for people to listen to and to look at: one naming, one picture, for every stage."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import soundfile
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from mimi_dynamics.codec.base import SAMPLE_RATE
from mimi_dynamics.codec.log_mel import mel_spectrum
from mimi_dynamics.pipeline.files import atomic_path, write_text
from mimi_dynamics.pipeline.plotting import STYLE, save_figure
from mimi_dynamics.pipeline.without_audio import NOTHING

WINDOW = 1024  # samples
QUIETEST_DB, LOUDEST_DB = -90.0, -25.0
DB_PER_NEPER = 20 / math.log(10)
TICKS_KHZ = (0.5, 2, 8)


class Listening(NamedTuple):
    """A clip to look at and to listen to.

    Attributes:
        name: of the clip.
        prompt_seconds: what is the same in all sounds, marked by a line; 0 for no line.
        sounds: by name, the truth first, (samples,) audio.
    """

    name: str
    prompt_seconds: float
    sounds: dict[str, np.ndarray]


def write_sounds(clips: Sequence[Listening], title: str, path: Path) -> None:
    """Write every sound as `<clip>.<sound>.wav`, 16 bits, and `spectrograms.png` of all.

    Args:
        clips: what to write, each with the same sounds; none where nothing can be decoded, and
            then the folder has no sound.
        title: of the picture.
        path: folder, replaced whole.
    """
    with atomic_path(path) as folder:
        folder.mkdir()
        if not clips:
            write_text(folder / NOTHING, "")  # DVC warns of a folder without a file.
            return
        save_figure(sounds_figure(clips, title), folder / "spectrograms.png")
        for clip in clips:
            for sound, audio in clip.sounds.items():
                name = f"{clip.name.replace('/', '-')}.{sound.replace(' ', '-')}.wav"
                wav = io.BytesIO()  # on a full disk libsndfile says no more than "System error"
                soundfile.write(wav, audio, SAMPLE_RATE, format="WAV", subtype="PCM_16")
                (folder / name).write_bytes(wav.getvalue())


def sounds_figure(clips: Sequence[Listening], title: str) -> Figure:
    """Draw spectrograms, a column for every clip and a row for every sound."""
    rows = list(clips[0].sounds)
    with mpl.rc_context(STYLE):
        # At least as wide as the title, for one clip too.
        figure = Figure(
            figsize=(max(9, 1 + 4 * len(clips)), 0.9 + 1.5 * len(rows)), layout="constrained"
        )
        figure.suptitle(title)
        grid = figure.subplots(len(rows), len(clips), sharex=True, sharey=True, squeeze=False)
        for column, clip in zip(grid.T, clips, strict=True):
            column[0].set_title(clip.name, fontsize=10)
            column[-1].set_xlabel("seconds")
            for axes, sound in zip(column, clip.sounds.values(), strict=True):
                image = _spectrogram(axes, sound)
                if clip.prompt_seconds:
                    axes.axvline(clip.prompt_seconds, color="white", lw=1.5, ls="--")
        for axes, name in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(f"{name}\nkHz")
        grid[0, 0].set_xlim(0, max(len(s) for c in clips for s in c.sounds.values()) / SAMPLE_RATE)
        figure.colorbar(image, ax=grid, label="level, dB", shrink=0.6, pad=0.01)
    return figure


def _spectrogram(axes: Axes, sound: np.ndarray) -> AxesImage:
    spectrum = mel_spectrum(torch.from_numpy(sound)[None], WINDOW)[0].numpy()
    extent = (0, len(sound) / SAMPLE_RATE, 0, _mel(SAMPLE_RATE / 2))
    axes.set_yticks([_mel(1000 * tick) for tick in TICKS_KHZ], [str(tick) for tick in TICKS_KHZ])
    return axes.imshow(
        spectrum * DB_PER_NEPER,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmin=QUIETEST_DB,
        vmax=LOUDEST_DB,
    )


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)
