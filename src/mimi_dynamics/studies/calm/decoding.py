"""What the ear gets: continuations to listen to, and their log-mel distance to what was said."""

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mimi_dynamics.codec.log_mel import log_mel_distance
from mimi_dynamics.codec.mimi import FRAME_SIZE
from mimi_dynamics.generation.rollouts import listening_starts, seeded
from mimi_dynamics.generation.scores import Grid
from mimi_dynamics.generation.sounds import Decoder, Listening
from mimi_dynamics.pipeline.conventions import FRAME_MS, choose_evenly
from mimi_dynamics.pipeline.parallel import one_thread_each
from mimi_dynamics.studies.calm.comparison import Comparison
from mimi_dynamics.studies.calm.samples import Drawn, first_runs

DECODED_STARTS = 24
DECODED_SAMPLES = 3
DECODED_FRAMES = 12  # 0.96 s
PROMPT_FRAMES = 8  # decoded before, so that the decoder is past its beginning


@dataclass(frozen=True)
class Continuations:
    """Of one contender, from starts in one split.

    Attributes:
        name: of the contender.
        paths: (samples, starts, time, dim) frames x.
        grid: of the starts.
    """

    name: str
    paths: Tensor
    grid: Grid


def decode_contenders(comparison: Comparison, drawn: Drawn, decode: Decoder) -> pd.DataFrame:
    """`decoded_scores` of the first training of every contender."""
    with one_thread_each():  # sums over several threads round differently
        tables = [
            decoded_scores(Continuations(name, paths, drawn.grid), decode)
            for name, paths in first_runs(drawn.paths).items()
        ]
    return pd.concat(tables, ignore_index=True)


def decoded_scores(job: Continuations, decode: Decoder) -> pd.DataFrame:
    """Distances in nepers, and their energy score, over some starts.

    The distance of a sample to what came is least for a blurred one; the energy score
    mean d(X, y) − ½ mean d(X, X′) is proper for d too, a mean of absolute differences.

    Returns:
        `row`, `clip`, `past`, `log_mel_distance`, `log_mel_energy_score`.
    """
    grid = job.grid
    frames = min(DECODED_FRAMES, int(grid.steps[0]))
    reach = int((grid.steps >= frames).sum())
    kept = choose_evenly(reach, DECODED_STARTS)
    clips = grid.data.select(grid.split)
    rows = []
    for number in kept:
        clip, past = int(grid.starts.clip[number]), int(grid.starts.past[number])
        begin = int(clips.lengths[:clip].sum()) + past
        prompt = clips.frames[begin - min(past, PROMPT_FRAMES) : begin]
        truth = clips.frames[begin : begin + frames]
        samples = job.paths[:DECODED_SAMPLES, number, :frames]
        heard = [_sound(prompt, continued, decode) for continued in (truth, *samples)]
        true, *others = heard
        error = np.mean([log_mel_distance(o, true).item() for o in others])
        pairs = [log_mel_distance(a, b).item() for i, a in enumerate(others) for b in others[:i]]
        row = {"row": job.name, "clip": clip, "past": past}
        row |= {"log_mel_distance": error}
        row["log_mel_energy_score"] = error - np.mean(pairs) / 2 if pairs else error
        rows.append(row)
    return pd.DataFrame(rows)


def _sound(prompt: Tensor, continued: Tensor, decode: Decoder) -> Tensor:
    """(1, samples) audio of the continuation alone."""
    audio = decode(torch.cat([prompt, continued]))
    return torch.from_numpy(audio[len(prompt) * FRAME_SIZE :])[None]


def listen(comparison: Comparison, names: np.ndarray, decode: Decoder) -> list[Listening]:
    """Some test clips: what was said, and what each contender makes of its beginning.

    Args:
        comparison: trained.
        names: of the test clips.
        decode: frames to audio.
    """
    params, test = comparison.params, comparison.data.select("test")
    settings, steps = params.rollout, max(params.horizons)
    prompt, samples = settings.listen_prompt_frames, settings.listen_samples
    starts = listening_starts(test, settings.listen_clips, prompt, steps)
    generators = {n: g for n, g in first_runs(comparison.generators).items() if n != "var"}
    with seeded(zlib.crc32(f"{params.seed} listen".encode())):
        lengths = np.full(len(starts), steps)
        paths = {n: g.paths("test", starts, lengths, samples) for n, g in generators.items()}
        clips = []
        for number, (clip, known) in enumerate(zip(starts.clip, starts.past, strict=True)):
            end = test.lengths[: clip + 1].sum()
            frames = test.frames[end - test.lengths[clip] : end]
            sounds = {"recorded": decode(frames[: known + steps])}
            for name, path in paths.items():
                for sample in range(samples):
                    continued = torch.cat([frames[:known], path[sample, number]])
                    sounds[f"{name} {sample + 1}"] = decode(continued)
            clips.append(Listening(names[clip], known * FRAME_MS / 1000, sounds))
    return clips
