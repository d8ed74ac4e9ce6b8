"""How good does speech sound after the codec, and after codecs that anyone could have instead?

Decodes held-out clips from the codec's latents, with and without their quantisation, from as many
principal components of log-mel frames, quantised to the same bit rate, and from Opus at its lowest
rate; measures each against the recording, and lets an English recogniser listen.

    python src/reconstruct.py    (or: dvc repro reconstruct)

Reads data/manifest.parquet, data/audio/ and the codec.
Writes metrics/reconstruct.json, plots/reconstruct.csv, plots/reconstruct.png, and
data/reconstruct/: sounds and their spectrograms.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from mimi_dynamics.codec import load_codec
from mimi_dynamics.encoding import choose_evenly, read_clip
from mimi_dynamics.estimation import EVALUATED_SPLITS
from mimi_dynamics.figures import save_figure
from mimi_dynamics.files import write_metrics, write_text
from mimi_dynamics.listening import Listening, write_sounds
from mimi_dynamics.parallel import one_thread_each
from mimi_dynamics.params import Params
from mimi_dynamics.reconstruct_figure import WAYS, reconstruct_figure
from mimi_dynamics.reconstruction import (
    OPUS_BITS_PER_S,
    bits_per_second,
    measure_clips,
    reconstruct_clip,
    spectral_beside,
)
from mimi_dynamics.scoring import ClipBootstrap
from mimi_dynamics.stage import run_stage

SOUNDS_TITLE = "What is left of recordings that no codec was trained on"


def reconstruct(params: Params) -> None:
    """Run the stage."""
    settings, seed = params.reconstruct, params.seed
    manifest = pd.read_parquet("data/manifest.parquet")
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
    write_metrics(Path("metrics/reconstruct.json"), metrics)
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


def rates(codec: float) -> dict[str, float]:
    """Bits a second of the ways that have such a thing."""
    return {"codec": codec, "log_mel": codec, "opus": OPUS_BITS_PER_S}


def summarise(table: pd.DataFrame, params: Params) -> dict[str, dict[str, float]]:
    """Mean of every measure over clips, by way of decoding."""
    bootstrap = bootstrap_of(table, params)
    found: dict[str, dict[str, float]] = {}
    for way, rows in table.groupby("way", sort=False):
        found[str(way)] = {}
        for measure in rows.columns.drop(["clip", "way"]):
            known = rows[rows[measure].notna()]
            if len(known):
                mean = bootstrap.mean(known[measure].to_numpy(), known["clip"].to_numpy())
                found[str(way)] |= mean.metrics(measure)
    return found


def recognised(table: pd.DataFrame, params: Params) -> dict[str, object]:
    """Word error rate, by way of decoding, against what is heard in the recording."""
    if table.empty:
        return {"words": 0}
    bootstrap = bootstrap_of(table, params)
    found: dict[str, object] = {}
    for way, rows in table.groupby("way", sort=False):
        errors, words = (
            bootstrap.mean(rows[name].to_numpy(), rows["clip"].to_numpy())
            for name in ("word_errors", "words")
        )
        found[str(way)] = (errors / words).metrics("word_error_rate")
        found["words"] = int(rows["words"].sum())
    return found


def bootstrap_of(table: pd.DataFrame, params: Params) -> ClipBootstrap:
    """Draws of the clips of a table."""
    return ClipBootstrap(
        int(table["clip"].max()) + 1, params.predict.bootstrap_samples, params.seed
    )


def write_plots(metrics: dict[str, object]) -> None:
    """Every measure by way of decoding as CSV and as a figure."""
    rows = [
        {"split": split, "way": way, **values}
        for split, by_way in metrics.items()
        if split != "bits_per_s"
        for way, values in by_way.items()
        if way in WAYS
    ]
    table = pd.DataFrame(rows).replace({None: np.nan})
    write_text(Path("plots/reconstruct.csv"), table.to_csv(index=False, float_format="%.6g"))
    save_figure(reconstruct_figure(table), Path("plots/reconstruct.png"))


if __name__ == "__main__":
    run_stage(reconstruct)
