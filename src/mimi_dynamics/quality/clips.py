"""Which clips decoded speech is judged on, and how each of them is measured."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.encoding.frames import gated_frames
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.quality.recogniser import NOT_INSTALLED, is_installed, transcribe, word_errors
from mimi_dynamics.quality.speech_quality import speech_quality

CLIPS_PER_JOB = 4
ENGLISH = "en"
# Gives (samples,) decoded audio by way of decoding for a recording of as many samples.
Decode = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def bits_per_second(codec: Codec) -> float:
    """Give the bit rate of the codes of a codec, in bits per second; 0 if it has none."""
    return codec.codebooks * math.log2(max(codec.bins, 1)) * codec.frame_rate


def choose(manifest: pd.DataFrame, split: str, clips: int) -> tuple[list[Path], list[np.ndarray]]:
    """Choose clips that are evenly spaced over a split.

    Args:
        manifest: one row per clip.
        split: name of the split.
        clips: how many to choose; all of them if the split has fewer.

    Returns:
        The paths of their audio files, and the intervals of digital silence in each.
    """
    of_split = manifest[manifest["split"] == split]
    chosen = of_split.iloc[choose_evenly(len(of_split), clips)]
    return [Path(path) for path in chosen["path"]], list(chosen["gated"])


def way_of(codec: Codec) -> str:
    """Name the way of decoding by which a codec is judged: from its codes, if it has any."""
    return "codec" if codec.codebooks else "codec_unquantized"


def pass_through(codec: Codec, audio: np.ndarray) -> np.ndarray:
    """Pass (samples,) audio through the codec, and through its quantiser if it has one.

    Args:
        codec: a codec that can decode.
        audio: (samples,) the recording.
    """
    with torch.no_grad():
        latents = codec.encode(torch.from_numpy(audio)[None])
        if codec.codebooks:
            decoded = codec.decode_codes(codec.quantize(latents))
        else:
            decoded = codec.decode(latents)
        return decoded[0].numpy()[: len(audio)].clip(-1, 1)


def measure_clips(
    decode: Decode, paths: Sequence[Path], silence: Sequence[np.ndarray], *, english: bool
) -> pd.DataFrame:
    """Measure every clip in every way of decoding.

    Args:
        decode: the ways of decoding, which travel to other processes.
        paths: paths of the clips.
        silence: intervals of digital silence in each, see `encoding.frames`; what is gated by them
            counts in no measure but the number of words.
        english: whether to run a recogniser, which gives `word_errors` and the number of `words`
            that it hears in the recording; otherwise `speech_quality` is measured.

    Returns:
        One row for each clip and way of decoding, with `clip`, `way` and the measures. Clips in
        which there is nothing to measure have none.
    """
    clips = list(zip(paths, silence, strict=True))
    jobs = [
        partial(_measure, decode, clips[start : start + CLIPS_PER_JOB], english=english)
        for start in range(0, len(paths), CLIPS_PER_JOB)
    ]
    tables = run_parallel(jobs, "listen" if english else "measure")
    table = pd.concat(tables, ignore_index=True)
    number = {str(path): clip for clip, path in enumerate(paths)}
    return table.assign(clip=table["path"].map(number)).drop(columns="path")


def measure_words(
    decode: Decode, manifest: pd.DataFrame, clips: int, stage: str
) -> pd.DataFrame | None:
    """Count the words lost in held-out English clips, in every way of decoding.

    Args:
        decode: see `measure_clips`.
        manifest: one row per clip.
        clips: how many to choose; all of them if there are fewer.
        stage: who says on standard error that there are such clips and no recogniser.

    Returns:
        See `measure_clips`; None if there is no such clip, or no recogniser.
    """
    held_out = manifest[(manifest["split"] != "train") & (manifest["language"] == ENGLISH)]
    if held_out.empty:
        return None
    if not is_installed():
        print(f"{stage}: {NOT_INSTALLED}", file=sys.stderr)
        return None
    chosen = choose(held_out.assign(split=ENGLISH), ENGLISH, clips)
    return measure_clips(decode, *chosen, english=True)


def _measure(
    decode: Decode, clips: Sequence[tuple[Path, np.ndarray]], *, english: bool
) -> pd.DataFrame:
    rows = []
    for path, silence in clips:
        audio = read_clip(path)
        gated = gated_frames(silence, len(audio))
        heard = transcribe(audio) if english else ""
        if gated.all() or (english and not heard):
            continue  # without words there is nothing to get wrong
        for way, result in decode(audio).items():
            measured = (
                {"word_errors": word_errors(transcribe(result), heard), "words": len(heard.split())}
                if english
                else speech_quality(result, audio, gated)
            )
            rows.append({"path": str(path), "way": way, **measured})
    return pd.DataFrame(rows, columns=None if rows else ["path", "way", "word_errors", "words"])
