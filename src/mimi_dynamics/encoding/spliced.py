"""Write the clips of a corpus with their frames in another order, to be encoded anew."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from mimi_dynamics.codec.base import SAMPLE_RATE
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.encoding.splice import draw_order, seed_of_clip, splice, splice_intervals

BLOCK_FRAMES = 1


def splice_corpus(manifest: pd.DataFrame, folder: Path, seed: int) -> pd.DataFrame:
    """Write all clips spliced, in blocks of one frame.

    Args:
        manifest: one row per clip: `clip_id`, `path`, `gated` and others.
        folder: where to write them, as clips of 16 bits like those of stage `ingest`.
        seed: decides the orders; that of a clip depends on no other clip.

    Returns:
        The manifest of what was written: `path` and `gated` are new, all else is as it was.

    Raises:
        InputError: a clip is missing or not 24 kHz mono.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[str] = []
    gated: list[np.ndarray] = []
    clips = tqdm(manifest.itertuples(), "splice", len(manifest), unit="clip", disable=None)
    for number, clip in enumerate(clips):
        audio = read_clip(Path(clip.path))
        order = draw_order(len(audio), BLOCK_FRAMES, seed_of_clip(seed, clip.clip_id))
        paths.append(str(folder / f"{number:07d}.flac"))
        soundfile.write(paths[-1], splice(audio, order), SAMPLE_RATE, subtype="PCM_16")
        gated.append(splice_intervals(np.asarray(clip.gated, np.int64), order))
    return manifest.assign(path=paths, gated=pd.Series(gated, index=manifest.index))
