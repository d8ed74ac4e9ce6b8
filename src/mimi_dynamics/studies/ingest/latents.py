"""A manifest of latents of somebody's own: who speaks in each, and on which side of the split."""

import hashlib
from pathlib import PurePath

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from mimi_dynamics.own_latents.clips import Clip
from mimi_dynamics.own_latents.listing import Listed, list_pieces, rate_of, read_own
from mimi_dynamics.own_latents.pieces import Piece, ready_splits
from mimi_dynamics.pipeline.conventions import TEST_VOICE
from mimi_dynamics.pipeline.params import OWN_LATENTS, IngestParams
from mimi_dynamics.speech.corpora.recording import composed, printable
from mimi_dynamics.speech.corpora.voices import NO_VOICE, NO_VOICES
from mimi_dynamics.speech.ingestion import MANIFEST_SCHEMA, check_splits, check_voices
from mimi_dynamics.speech.splits import assign_split


def ingest_latents(params: IngestParams) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """List latents as clips of the pipeline, with voices and splits but without audio.

    A clip has the split that its file says, if all do; else that of its voice and name, as
    recordings have. Parts of one clip share a split.

    Args:
        params: which latents, how to split them, and what is too short.

    Returns:
        The manifest (columns of `MANIFEST_SCHEMA`, sorted by `clip_id`, with the path ''), the
        clips that are empty or too short (columns `name` and `reason`), and what was done, in
        sentences.

    Raises:
        InputError: the latents are not readable or too few, a test voice does not exist, or a split
            is empty.
    """
    source, notes = read_own(params.latents.path), list[str]()
    rate = rate_of(source, params.latents.frame_rate)
    listed = list_pieces(source, notes)
    least = params.min_seconds * rate
    used = [clip for clip in listed if clip.piece.frames >= least]
    rejected = [(of.clip_id, "too_short") for of in listed if of.piece.frames < least]
    rejected += [(printable(clip.key), "empty") for clip in source.clips if not clip.frames]
    check_voices(params, {voice_of(clip.piece.clip) for clip in used})
    splits = splits_of(used, params)
    bar = tqdm(used, "ingest", unit="clip", disable=None)
    rows = [_row(clip, split, rate) for clip, split in zip(bar, splits, strict=True)]
    rows.sort(key=lambda row: str(row["clip_id"]))
    manifest = pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA).to_pandas()
    check_splits(params, manifest)
    return manifest, pd.DataFrame(sorted(rejected), columns=["name", "reason"], dtype=str), notes


def voice_of(clip: Clip) -> str:
    """Tell who speaks: as the file says, else by the first folder that is called by no content."""
    if clip.voice:
        return composed(printable(clip.voice))
    folders = (part for part in PurePath(clip.key).parts[:-1] if not NO_VOICES.fullmatch(part))
    return composed(printable(next(folders, NO_VOICE)))


def splits_of(listed: list[Listed], params: IngestParams) -> list[str]:
    """Give the split of each clip; those of `test_voices` are held out whatever files say."""
    given = [clip.piece.clip.split or "" for clip in listed]
    voices = [voice_of(clip.piece.clip) for clip in listed]
    if listed and all(given):
        return [
            TEST_VOICE if voice in params.test_voices else split
            for voice, split in zip(voices, ready_splits(given, None).tolist(), strict=True)
        ]
    return [
        assign_split(voice, clip.prompt, params.splits, params.test_voices)
        for voice, clip in zip(voices, listed, strict=True)
    ]


def _row(clip: Listed, split: str, rate: float) -> dict[str, object]:
    return {
        "clip_id": clip.clip_id,
        "corpus": OWN_LATENTS,
        "voice": voice_of(clip.piece.clip),
        "language": "",
        "split": split,
        "path": "",
        "performance": clip.clip_id,
        "sha256": _sha256(clip.piece),
        "seconds": clip.piece.frames / rate,
        "gated": [],
        "text": "",
    }


def _sha256(piece: Piece) -> str:
    """Hash the numbers as they are stored later, so that the format makes no difference."""
    with np.errstate(over="ignore"):  # `encode` refuses what is too large.
        values = np.ascontiguousarray(piece.clip.read(piece.start, piece.stop), np.float32)
    return hashlib.sha256(values.tobytes()).hexdigest()
