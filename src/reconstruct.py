"""How good does speech sound after the codec, and after codecs that anyone could have instead?

Decodes held-out clips from the codec's latents, with and without their quantisation, from as many
principal components of log-mel frames, quantised to the same bit rate, and from Opus at its lowest
rate; measures each against the recording, and lets an English recogniser listen.

    python src/reconstruct.py    (or: dvc repro reconstruct)

Reads data/manifest.parquet, data/audio/ and the codec.
Writes its metrics, plots/reconstruct.csv, and
data/reconstruct/: sounds and their spectrograms.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.generation.sounds import Listening, write_sounds
from mimi_dynamics.pipeline.conventions import EVALUATED_SPLITS, WAYS, choose_evenly
from mimi_dynamics.pipeline.errors import require
from mimi_dynamics.pipeline.files import write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.parallel import one_thread_each
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.reconstruct.metrics import rates, recognised, summarise
from mimi_dynamics.studies.reconstruct.reconstruction import (
    bits_per_second,
    measure_clips,
    reconstruct_clip,
    spectral_beside,
)

SOUNDS_TITLE = "What is left of recordings that no codec was trained on"


def reconstruct(params: Params) -> None:
    """Run the stage."""
    settings, seed = params.reconstruct, params.seed
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    codec = load_codec(params.codec)
    with one_thread_each(), threadpool_limits(1):  # the same sums on any number of cores
        spectral = spectral_beside(codec, choose(manifest, "train", settings.fit_clips), seed)
    metrics: dict[str, object] = {"bits_per_s": rates(bits_per_second(codec))}
    for split in [name for name in EVALUATED_SPLITS if (manifest["split"] == name).any()]:
        paths = choose(manifest, split, settings.clips)
        table = measure_clips(params.codec, spectral, paths, english=False)
        metrics[split] = summarise(table, params) | {"clips": len(paths)}
    held_out = manifest[(manifest["split"] != "train") & (manifest["language"] == "en")]
    if len(held_out):
        paths = choose(held_out.assign(split="english"), "english", settings.english_clips)
        table = measure_clips(params.codec, spectral, paths, english=True)
        metrics["english"] = recognised(table, params)
    write_stage_metrics("reconstruct", metrics)
    write_plots(metrics)

    sounds = []
    for path in choose(manifest, "test", settings.listen_clips):
        audio = read_clip(path)
        with one_thread_each(), threadpool_limits(1):
            found = reconstruct_clip(codec, spectral, audio)
        named = {WAYS[way].split(",")[0]: sound for way, sound in found.items()}
        sounds.append(Listening(path.stem, 0, {"recorded": audio, **named}))
    write_sounds(sounds, SOUNDS_TITLE, Path("data/reconstruct"))


def choose(manifest: pd.DataFrame, split: str, clips: int) -> list[Path]:
    """The files of clips evenly spaced over a split."""
    paths = manifest.loc[manifest["split"] == split, "path"]
    return [Path(path) for path in paths.iloc[choose_evenly(len(paths), clips)]]


def write_plots(metrics: dict[str, object]) -> None:
    """Every measure by way of decoding as CSV."""
    rows = [
        {"split": split, "way": way, **values}
        for split, by_way in metrics.items()
        if split != "bits_per_s"
        for way, values in by_way.items()
        if way in WAYS
    ]
    table = pd.DataFrame(rows).replace({None: np.nan})
    write_table(Path("plots/reconstruct.csv"), table)


if __name__ == "__main__":
    run_stage(reconstruct)
