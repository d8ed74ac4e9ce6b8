"""Continuations as sound: sounds to listen to, and their log-mel distance to the recording."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.codec.log_mel import heard_distance
from mimi_dynamics.codec.threads import in_threads
from mimi_dynamics.generation import continuations
from mimi_dynamics.generation.continuations import Decoder
from mimi_dynamics.generation.generator import Grid
from mimi_dynamics.generation.sounds import Listening
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.calm.comparison import Comparison
from mimi_dynamics.studies.calm.samples import Drawn, first_runs, recorded_paths

DECODED_STARTS = 24
DECODED_SAMPLES = 3
DECODED_FRAMES = 12  # 0.96 s
COLUMNS = ["row", "clip", "past", "log_mel_distance", "log_mel_energy_score"]
PROMPT_FRAMES = 8  # frames to decode first, so that the decoder has some past


@dataclass(frozen=True)
class Continuations:
    """What one contender drew from starts in one split.

    Attributes:
        name: name of the contender.
        paths: (samples, starts, time, dim) frames x.
        grid: the starts.
    """

    name: str
    paths: Tensor
    grid: Grid


def decode_contenders(comparison: Comparison, drawn: Drawn, decode: Decoder) -> pd.DataFrame:
    """Compute `decoded_scores` for the first training of every contender."""
    tables = [
        decoded_scores(Continuations(name, paths, drawn.grid), decode)
        for name, paths in first_runs(drawn.paths).items()
    ]
    return pd.concat(tables, ignore_index=True)


def nothing_heard() -> pd.DataFrame:
    """Give the table of `decoded_scores` where there is no decoder: it has no rows."""
    return pd.DataFrame(columns=COLUMNS)


def decoded_scores(job: Continuations, decode: Decoder) -> pd.DataFrame:
    """Measure log-mel distances in nepers, and their energy score, from some of the starts.

    The mean distance of a sample to the recording is lowest for a blurred sample. The energy score
    mean d(X, y) − ½ mean d(X, X′) is proper, also for this d, which is a mean of absolute
    differences.

    Sound of frames that are gated in the recording does not count, and continuations in which all
    are gated are left out.

    Returns:
        A table with the columns `row`, `clip`, `past`, `log_mel_distance`, `log_mel_energy_score`.
    """
    grid = job.grid
    frames = min(DECODED_FRAMES, int(grid.steps[0]))
    clips = grid.data.select(grid.split)
    gated = recorded_paths(grid)[1][:, :frames, 0].numpy()
    able = np.flatnonzero((grid.steps >= frames) & ~gated.all(1))
    if not len(able):
        raise InputError(f"calm: all that could be decoded, {frames} frames at a time, is gated")

    def scores_of(number: int) -> dict[str, object]:
        clip, past = int(grid.starts.clip[number]), int(grid.starts.past[number])
        begin = int(clips.lengths[:clip].sum()) + past
        prompt = clips.frames[begin - min(past, PROMPT_FRAMES) : begin]
        truth = clips.frames[begin : begin + frames]
        samples = job.paths[:DECODED_SAMPLES, number, :frames]
        heard = [_sound(prompt, continued, decode) for continued in (truth, *samples)]
        true, *others = heard
        distance = partial(heard_distance, gated=gated[number])
        error = np.mean([distance(o, true) for o in others])
        pairs = [distance(a, b) for i, a in enumerate(others) for b in others[:i]]
        row = {"row": job.name, "clip": clip, "past": past}
        row |= {"log_mel_distance": error}
        row["log_mel_energy_score"] = error - np.mean(pairs) / 2 if pairs else error
        return row

    numbers = able[choose_evenly(len(able), DECODED_STARTS)]
    return pd.DataFrame(in_threads(scores_of, numbers, f"decode {job.name}"))


def _sound(prompt: Tensor, continued: Tensor, decode: Decoder) -> Tensor:
    """Decode a prompt with its continuation, and keep (samples,) audio of the continuation."""
    audio = decode(torch.cat([prompt, continued]))
    return torch.from_numpy(audio[len(prompt) * FRAME_SIZE :])


def listen(comparison: Comparison, names: np.ndarray, decode: Decoder) -> list[Listening]:
    """Make sounds of some test clips: the recording, and how each contender continues it.

    Args:
        comparison: the trained contenders.
        names: names of the test clips.
        decode: maps frames to audio.
    """
    generators = {n: g for n, g in first_runs(comparison.generators).items() if n != "var"}
    test = comparison.data.select("test")
    return continuations.listen(comparison.params, generators, test, names, decode)
