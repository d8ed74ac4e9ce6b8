"""The file of a row: what was measured, and of which weights, clips and settings it is true."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.latents.normalizer import (
    frames_in_split,
    levels_known,
    some_frames,
    voiced_frames,
)
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import READ
from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.metrics import DETAIL_FOLDER, SCHEMA_VERSION
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.studies import study_settings
from mimi_dynamics.quality.clips import bits_per_second
from mimi_dynamics.studies.codec_row.measures import (
    autocorrelation,
    effective_dimension,
    loudness_share,
    variance_kept_by_leading,
)
from mimi_dynamics.studies.codec_row.subjects import (
    LESS_TRAINED,
    LOG_MEL,
    RUN,
    UNTRAINED,
    Subject,
    ingest_of_read_speech,
    trained_by,
)

FOLDER = DETAIL_FOLDER / "codec_rows"
LAGS = (1, 2)  # frames
SECTIONS = ("head", "latents", "predict", "seed")
LYRA, POCKET_TTS = "lyra", "pocket-tts"  # their latents depend on a setting of their own
NOT_READ = ("heads", "linear_order")  # of `predict`: only stage predict has a use for them
SHAPE = ("filters", "dim", "layers", "codebooks", "bins", "clip_frames")  # of a mimi-mini

# Of `ingest`: what clips of read speech depend on, beside where they come from.
READ_AS = ("corpora", "cut_long", "keep_copies", "max_seconds", "min_seconds", "splits")
HEARD = ("clips", "english_clips")  # of `reconstruct`: what quality is measured on


def row_path(row: str) -> Path:
    """Give the path of the file of a row."""
    return FOLDER / f"{row}.json"


def write_row(row: str, metrics: Mapping[str, Any], origin: Mapping[str, Any]) -> None:
    """Write the file of a row.

    Args:
        row: its name.
        metrics: nested dict of finite numbers.
        origin: see `origin_of`.
    """
    record = {**metrics, "origin": origin, "schema_version": SCHEMA_VERSION}
    write_metrics(row_path(row), record)


def trainings_of(row: str, params: Params) -> int:
    """Give the number of trainings of a row, one frame ahead."""
    return params.trainings if row == RUN else params.codec_table.trainings


def origin_of(
    row: str, weights_sha256: str | None, clips: str | None, params: Params
) -> dict[str, Any]:
    """Give what a row depends on. While it is the same, the row is true of this run.

    Args:
        row: its name.
        weights_sha256: hash of the codec's weights, '' if they are no file, None if not at hand.
        clips: see `pipeline.studies.clips_sha256`; None if they are not at hand.
        params: all settings.
    """
    settings = study_settings(params, SECTIONS)
    for name in NOT_READ:
        del settings["predict"][name]
    settings["encode"] = {"dtype": params.encode.dtype}
    settings["trainings"] = trainings_of(row, params)
    if row.startswith(READ):
        of_speech = params.model_copy(update={"ingest": ingest_of_read_speech(params)})
        ingest = study_settings(of_speech, ["ingest"])["ingest"]
        settings["ingest"] = {name: ingest[name] for name in READ_AS}
        row = row.removeprefix(READ)
    if row != LOG_MEL:  # It has no way back to sound, and so no quality.
        clips_heard = study_settings(params, ["reconstruct"])["reconstruct"]
        settings["reconstruct"] = {name: clips_heard[name] for name in HEARD}
    if row in (RUN, UNTRAINED):
        settings["codec"] = {"name": params.codec.name}
    if row == UNTRAINED:
        mini = study_settings(params, ["codec"])["codec"]["mini"]
        settings["codec"]["mini"] = {name: mini[name] for name in SHAPE}
    if row in LESS_TRAINED:
        trained = params.model_copy(update={"codec": trained_by(row, params)})
        settings["codec"] = {"mini": study_settings(trained, ["codec"])["codec"]["mini"]}
    if own := settings_of_codec(params.codec.name if row in (RUN, UNTRAINED) else row, params):
        settings["codec"] = settings.get("codec", {}) | own
    return {"weights_sha256": weights_sha256, "clips_sha256": clips, "settings": settings}


def settings_of_codec(name: str, params: Params) -> dict[str, Any]:
    """Give the settings on which the latents of a codec depend beside its weights.

    Args:
        name: as `codec.name`, or of a row.
        params: all settings.

    Returns:
        What the section `codec` has of them; nothing of most codecs.
    """
    if name == LYRA:
        return {LYRA: {"frames_per_step": params.codec.lyra.frames_per_step}}
    if name == POCKET_TTS:
        return {"pocket_tts": {"config": params.codec.pocket_tts.config}}
    return {}


def facts(subject: Subject, params: Params) -> dict[str, object]:
    """Give what is known of latents before anything is predicted, but for the codec's bit rate."""
    latents, data, info = subject.latents, subject.data, subject.latents.info
    voiced = voiced_frames(latents, params.latents.voiced_range_db)
    train, test = (frames_in_split(latents, split) & ~latents.gated for split in ("train", "test"))
    spoken = latents.values[some_frames(train & voiced)]
    test_data = data.select("test")
    return {
        "latent_dim": info["dim"],
        "dim": data.dim,
        "frame_rate": info["frame_rate"],
        "effective_dim": effective_dimension(spoken),
        "variance_kept": {
            f"c{count:03d}": share
            for count, share in variance_kept_by_leading(spoken).items()
            if count <= info["dim"]
        },
        **_loudness(latents, train, test),
        "autocorrelation": {f"k{k}": autocorrelation(test_data, k) for k in LAGS},
    }


def _loudness(latents: Latents, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Give what loudness explains of frames; nothing if it is not known, as without audio."""
    if not levels_known(latents):
        return {}
    return {"loudness_r2": loudness_share(latents.values, latents.rms_db, train, test)}


def bit_rate(codec: Codec) -> dict[str, float]:
    """Give the bits per second of the codec's codes; nothing if it has none."""
    if not codec.codebooks:
        return {}
    return {"bits_per_s": bits_per_second(codec)}
