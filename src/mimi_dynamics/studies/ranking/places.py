"""Where all sets are continued, and the recorded speech that was there, as log-mel frames.

A log-mel frame is the mean over 80 ms of 40 bands: what is heard of a frame, but for its pitch
periods. It is the same for all sets, whatever their coordinates.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.log_mel import COLUMNS, log_mel_frames
from mimi_dynamics.generation.rollouts import Starts
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.calm.windows import WINDOW

PROMPT = 8  # frames before a continuation, which the decoder hears
STRIDE = 16  # frames between two continuations of a clip; even, so that steps of two frames fit


@dataclass(frozen=True)
class Places:
    """Continuations of 0.96 s in clips of test, the same of all sets.

    Attributes:
        starts: in frames of 80 ms.
        recorded: (starts, WINDOW, 40) log-mel frames of what was said there, in nepers.
        train: (windows, WINDOW, 40) the like of all clips of train.
    """

    starts: Starts
    recorded: np.ndarray
    train: np.ndarray


def bands(audio: np.ndarray) -> np.ndarray:
    """Give the (frames, 40) log-mel frames of `audio` (samples,), in nepers."""
    frames = log_mel_frames(audio)
    return frames.reshape(len(frames), COLUMNS, -1).mean(1)


def choose_places(latents: Latents, data: Sequences, manifest: pd.DataFrame, most: int) -> Places:
    """Choose continuations without digital silence, evenly over all that there are.

    Args:
        latents: of the codec of the run, which name the clips.
        data: the same as sequences, one frame a step.
        manifest: the clips, as stage `ingest` wrote them.
        most: number of continuations.

    Raises:
        InputError: no clip of test, or of train, is long enough.
    """
    paths = dict(zip(manifest["clip_id"], manifest["path"], strict=True))
    test = data.select("test")
    gated = np.split(test.gated.numpy(), np.cumsum(test.lengths)[:-1])
    found = [
        (clip, past, length - past)
        for clip, length in enumerate(test.lengths)
        for past in range(PROMPT, length - WINDOW + 1, STRIDE)
        if not gated[clip][past : past + WINDOW].any()
    ]
    if not found:
        raise InputError(f"ranking_study: no clip of test goes on for {PROMPT + WINDOW} frames")
    chosen = np.array(found)[choose_evenly(len(found), most)]
    starts = Starts(*chosen.T)
    heard = [bands(read_clip(Path(paths[of]))) for of in latents.clip_ids[latents.splits == "test"]]
    recorded = [heard[clip][past : past + WINDOW] for clip, past, _ in chosen]
    return Places(starts, np.stack(recorded), _train_windows(latents, data, paths))


def _train_windows(latents: Latents, data: Sequences, paths: dict[str, str]) -> np.ndarray:
    """Cut clips of train into windows, and leave out those that are gated in part."""
    train = data.select("train")
    windows = []
    for clip_id, gated in zip(
        latents.clip_ids[latents.splits == "train"],
        np.split(train.gated.numpy(), np.cumsum(train.lengths)[:-1]),
        strict=True,
    ):
        heard = bands(read_clip(Path(paths[clip_id])))[: len(gated)]
        for begin in range(0, len(gated) - WINDOW + 1, WINDOW):
            if not gated[begin : begin + WINDOW].any():
                windows.append(heard[begin : begin + WINDOW])
    if len(windows) < 2:
        raise InputError(f"ranking_study: no clip of train has {WINDOW} frames")
    return np.stack(windows)
