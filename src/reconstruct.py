"""How good does speech sound after the codec, and after other codecs that are easy to get?

Decodes held-out clips in several ways: from the codec's latents, with and without quantisation;
from equally many principal components of log-mel frames, with quantisation to the same bit rate
and without; and from Opus at its lowest rate. Compares each result with the recording, and counts
how many words of English clips a speech recogniser then gets wrong, where one is installed.

    python src/reconstruct.py    (or: dvc repro reconstruct)

Reads data/manifest.parquet, data/audio/ and the codec.
Writes metrics/reconstruct.json, metrics/detail/reconstruct.json, plots/reconstruct.csv and
data/reconstruct/, which holds sounds and their spectrograms.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.generation.sounds import Listening, write_sounds
from mimi_dynamics.pipeline.conventions import EVALUATED_SPLITS, WAYS
from mimi_dynamics.pipeline.files import require, write_table
from mimi_dynamics.pipeline.metrics import Metrics, write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import has_audio, say_without
from mimi_dynamics.quality.clips import choose, measure_clips, measure_words
from mimi_dynamics.quality.summary import recognised, summarise
from mimi_dynamics.studies.reconstruct.reconstruction import (
    rates,
    reconstruct_clip,
    spectral_beside,
)

SOUNDS_TITLE = "What is left of recordings that no codec was trained on"


def reconstruct(params: Params) -> None:
    """Run the stage."""
    settings, seed = params.reconstruct, params.seed
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    codec = load_codec(params.codec) if has_audio(manifest) else None
    if codec is None or not codec.can_decode:
        lacking = "audio" if codec is None else "decoder"
        say_without("reconstruct", lacking, "there is nothing to decode")
        write_stage_metrics("reconstruct", {})
        write_plots({})
        write_sounds([], SOUNDS_TITLE, Path("data/reconstruct"))
        return
    spectral = spectral_beside(codec, *choose(manifest, "train", settings.fit_clips), seed)
    decode = partial(reconstruct_clip, codec, spectral)
    metrics: dict[str, object] = {"bits_per_s": rates(codec)}
    for split in [name for name in EVALUATED_SPLITS if (manifest["split"] == name).any()]:
        paths, silence = choose(manifest, split, settings.clips)
        table = measure_clips(decode, paths, silence, english=False)
        metrics[split] = summarise(table, params) | {"clips": len(paths)}
    heard = measure_words(decode, manifest, settings.english_clips, "reconstruct")
    if heard is not None:
        metrics["english"] = recognised(heard, params)
    write_stage_metrics("reconstruct", metrics)
    write_plots(metrics)

    sounds = []
    for path in choose(manifest, "test", settings.listen_clips)[0]:
        audio = read_clip(path)
        named = {WAYS[way].split(",")[0]: sound for way, sound in decode(audio).items()}
        sounds.append(Listening(path.stem, 0, {"recorded": audio, **named}))
    write_sounds(sounds, SOUNDS_TITLE, Path("data/reconstruct"))


def write_plots(metrics: Metrics) -> None:
    """Write every measure as CSV, with one row for each split and way of decoding."""
    rows = [
        {"split": split, "way": way, **values}
        for split, by_way in metrics.items()
        if split != "bits_per_s"
        for way, values in by_way.items()
        if way in WAYS
    ]
    table = pd.DataFrame(rows, columns=None if rows else ["split", "way"]).replace({None: np.nan})
    write_table(Path("plots/reconstruct.csv"), table)


if __name__ == "__main__":
    run_stage(reconstruct)
