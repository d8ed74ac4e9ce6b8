"""What a row is measured on: a codec's latents, the same of spliced speech, and transplanted ones.

All three are whitened by the same components, those of the codec's latents of speech as it is.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mimi_dynamics.codec import mimi_mini
from mimi_dynamics.codec.base import FRAME_RATE, FRAME_SIZE, Codec, sha256_of
from mimi_dynamics.codec.loading import CODECS, load_codec, untrained_codec
from mimi_dynamics.codec.log_mel_frames import LogMelFrames
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.encoding.spliced import splice_corpus
from mimi_dynamics.encoding.transplant import transplant_corpus, with_targets
from mimi_dynamics.latents.loading import Loaded, load
from mimi_dynamics.latents.normalizer import (
    Normalizer,
    fit_normalizer,
    frames_in_split,
    normalized_sequences,
    voiced_frames,
)
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents, read_latents
from mimi_dynamics.pipeline.conventions import READ
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import remove
from mimi_dynamics.pipeline.params import CodecParams, IngestParams, Params
from mimi_dynamics.speech.ingestion import ingest_corpora

RUN = "codec"  # the row of the codec that all other stages are about
UNTRAINED, LOG_MEL = "untrained", "log_mel"
# Rows of mimi-mini trained anew, each with how many steps of its first leg there were in all, and
# as it was after a leg of its training, each with how many legs it had had.
STEPS = {"steps_400": 400, "steps_1600": 1600}
LEGS = {"leg_1": 1, "leg_2": 2}
LESS_TRAINED = (*STEPS, *LEGS)
CHECKPOINTS = Path("models/checkpoints")


@dataclass(frozen=True)
class Subject:
    """The latents of one codec.

    Attributes:
        weights_sha256: hash of the codec's weights.
        latents: its latents as encoded.
        normalizer: maps them to whitened components.
        data: the same, whitened.
        speech: the same with transplanted latents as targets; None if the codec hears what follows
            a frame, or no frame of some split has such a target, or there is no audio.
        spliced: the whitened latents of the same clips with their frames in another order; None if
            there is no audio.
    """

    weights_sha256: str
    latents: Latents
    normalizer: Normalizer
    data: Sequences
    speech: Sequences | None
    spliced: Sequences | None


def codec_of(row: str, params: Params) -> Codec:
    """Load the codec of a row.

    Args:
        row: `codec` for that of the run, `untrained` for one of its shape with random weights,
            one of `LESS_TRAINED` for mimi-mini after less training, `log_mel`, or a key of
            `CODECS`; each of them also with the prefix `READ`.
        params: all settings.

    Raises:
        InputError: there is no such codec, or there are no weights of it.
    """
    row = row.removeprefix(READ)
    if row == RUN:
        return load_codec(params.codec)
    if row == UNTRAINED:
        return untrained_codec(params.codec, params.seed)
    if row == LOG_MEL:
        return LogMelFrames()
    if row in LESS_TRAINED:
        return mimi_mini.load(trained_by(row, params), weights_file(row))
    if row in CODECS:
        return load_codec(params.codec.model_copy(update={"name": row}))
    known = ", ".join((RUN, UNTRAINED, *LESS_TRAINED, LOG_MEL, *CODECS))
    raise InputError(f"codec_table.rows: {row!r}: must be one of {known}")


def trained_by(row: str, params: Params) -> CodecParams:
    """Give the settings by which mimi-mini was trained for a row.

    Args:
        row: one of `LESS_TRAINED`.
        params: all settings.
    """
    mini = params.codec.mini
    if row in STEPS:
        legs = [mini.legs[0].model_copy(update={"steps": STEPS[row]})]
    else:
        legs = mini.legs[: LEGS[row]]
    less = mini.model_copy(update={"legs": legs})
    return params.codec.model_copy(update={"name": "mimi-mini", "mini": less})


def weights_file(row: str) -> Path:
    """Give the path of the weights of one of `LESS_TRAINED`."""
    return CHECKPOINTS / f"{row.replace('_', '-')}.safetensors"


def weights_of(row: str, params: Params) -> str | None:
    """Give the hash of the weights with which a row would be measured now, None if it cannot be.

    Args:
        row: see `codec_of`.
        params: all settings.
    """
    row = row.removeprefix(READ)
    if row in (UNTRAINED, LOG_MEL):
        return ""
    if row in LESS_TRAINED:
        path = weights_file(row)
        return sha256_of(path) if path.exists() else None
    published = getattr(CODECS.get(row), "WEIGHTS_SHA256", None)
    if published is not None:  # Whatever these are used for, they need not be downloaded.
        return published
    try:
        return codec_of(row, params).weights_sha256
    except InputError:  # They are not on this machine.
        return None


def make_subject(row: str, manifest: pd.DataFrame, params: Params, work: Path) -> Subject:
    """Encode what a row is measured on.

    Args:
        row: see `codec_of`.
        manifest: the clips, as stage `ingest` wrote them.
        params: all settings.
        work: a folder for what no other stage needs, which is removed in the end.

    Raises:
        InputError: the codec has another rate, latents of the run are of another codec, or a clip
            cannot be encoded.
    """
    codec = codec_of(row, params)
    if codec.frame_size != FRAME_SIZE:
        raise InputError(
            f"{row}: {codec.frame_rate:g} latents a second: must be {FRAME_RATE:g}, "
            "the step at which rows are compared"
        )
    loaded = _of_the_run(codec, params) if row == RUN else None
    remove(work)
    # A codec cannot stream any more after it was prepared for fast encoding.
    causal = codec.hears_ahead == 0
    transplanted = transplant_corpus(codec, manifest, params.seed) if causal else None
    latents, normalizer, data = loaded or encode_anew(codec, manifest, params, work)
    cut = splice_corpus(manifest, work / "spliced", params.seed)
    spliced = _encode(codec, cut, params, work)
    if not np.array_equal(spliced.clip_ids, latents.clip_ids):
        raise InputError("data/latents: not of the clips of data/manifest.parquet; run encode")
    remove(work)
    speech = None
    if transplanted is not None:
        speech = with_targets(data, latents, normalizer, transplanted)
        if not _has_targets(speech, params.predict.warmup_frames):
            print(f"{row}: too few clips of a voice to take look-backs from", file=sys.stderr)
            speech = None
    spliced_data = normalized_sequences(spliced, normalizer, params.latents.voiced_range_db)
    return Subject(codec.weights_sha256, latents, normalizer, data, speech, spliced_data)


def read_speech(params: Params, folder: Path) -> pd.DataFrame:
    """Ingest the corpora of read speech, from where the settings say, with no voice held out.

    Args:
        params: all settings.
        folder: receives the audio.

    Returns:
        The manifest.

    Raises:
        InputError: a corpus cannot be had.
    """
    return ingest_corpora(ingest_of_read_speech(params), folder)[0]


def ingest_of_read_speech(params: Params) -> IngestParams:
    """Give the settings by which read speech is ingested."""
    own = {"corpora": ["kathleen", "kerstin"], "test_voices": []}
    return params.ingest.model_copy(update=own)


def own_subject(params: Params) -> Subject:
    """Give what the row of the run is measured on if its latents have no audio.

    Raises:
        InputError: the stage `encode` or `normalize` has not run.
    """
    loaded = load(params)
    return Subject(loaded.latents.info["weights_sha256"], *loaded, None, None)


def _of_the_run(codec: Codec, params: Params) -> Loaded:
    loaded = load(params)
    made_with = loaded.latents.info["codec"], loaded.latents.info["weights_sha256"]
    if made_with != (codec.name, codec.weights_sha256):
        raise InputError(
            f"data/latents: of {made_with[0]} {made_with[1]:.12}, and the codec of this run is "
            f"{codec.name} {codec.weights_sha256:.12}; run the stage encode"
        )
    return loaded


def encode_anew(codec: Codec, manifest: pd.DataFrame, params: Params, work: Path) -> Loaded:
    """Encode the clips, and fit the normaliser as stage `normalize` does."""
    latents = _encode(codec, manifest, params, work)
    voiced = voiced_frames(latents, params.latents.voiced_range_db)
    fitted_on = latents.values[frames_in_split(latents, "train") & voiced]
    normalizer = fit_normalizer(fitted_on, params.latents.dim)
    data = normalized_sequences(latents, normalizer, params.latents.voiced_range_db)
    return Loaded(latents, normalizer, data)


def _encode(codec: Codec, manifest: pd.DataFrame, params: Params, work: Path) -> Latents:
    encode_corpus(codec, manifest, work / "latents", params.encode, work / "shards")
    latents = read_latents(work / "latents")
    remove(work / "latents")
    return latents


def _has_targets(data: Sequences, warmup_frames: int) -> bool:
    """Tell whether a frame of every split may be a target."""
    splits = [data.select(split) for split in np.unique(data.splits)]
    return all((split.reach > max(1, warmup_frames)).any() for split in splits)
