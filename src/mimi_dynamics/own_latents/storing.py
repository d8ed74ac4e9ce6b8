"""Latents of somebody's own as `data/latents`, which all later stages read."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter
from mimi_dynamics.own_latents.checking import Checks
from mimi_dynamics.own_latents.clips import Source
from mimi_dynamics.own_latents.listing import list_pieces, rate_of
from mimi_dynamics.own_latents.pieces import Piece
from mimi_dynamics.pipeline.conventions import SPLITS
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.without_audio import OWN_CODEC

if TYPE_CHECKING:
    import pandas as pd

CLIPS_PER_GROUP = 128  # as in a shard of speech


def store(
    source: Source, manifest: "pd.DataFrame", path: Path, frame_rate: float
) -> dict[str, Any]:
    """Check latents and write them as the folder `path`, which is replaced as a whole.

    A frame whose level nobody knows has 0 dB and is not gated, so that all frames count as voiced.

    Args:
        source: the clips as they were given.
        manifest: what `ingest` made of them.
        path: the folder.
        frame_rate: latents a second; 0 for what the files say.

    Returns:
        The metrics of the stage `encode`.

    Raises:
        InputError: the manifest is of other clips, or the latents are not fit to be measured: a
            number is not finite, a column is constant, or frames or values repeat.
    """
    pieces = {of.clip_id: of.piece for of in list_pieces(source, [])}
    lost = [name for name in manifest["clip_id"] if name not in pieces]
    if lost:
        raise InputError(f"{source.label}: no clip {lost[0]!r}; run the stage ingest again")
    checks = Checks(sum(pieces[name].frames for name in manifest["clip_id"]))
    info = _info(source, frame_rate)
    frames, gated = Counter[str](), 0
    bar = tqdm(desc="store", total=len(manifest), unit="clip", disable=None)
    with bar, LatentWriter(path, info) as writer:
        for rows in _groups(manifest):
            clips = [_stored(row, pieces[row.clip_id], checks) for row in rows.itertuples()]
            writer.write(clips)
            bar.update(len(clips))
            frames[clips[0].split] += sum(len(clip.latent) for clip in clips)
            gated += sum(int(clip.gated.sum()) for clip in clips)
        checks.finish(source.label)
    return {
        "clips": len(manifest),
        "frames": frames.total(),
        "frames_by_split": dict(frames),
        "silent_share": gated / frames.total(),
        "padded_share": 0.0,
        "dim": info["dim"],
        "codebooks": 0,
        "finite_share": 1.0,
        "batch_noise_floor": 0.0,
    }


def _info(source: Source, frame_rate: float) -> dict[str, Any]:
    return {
        "codec": OWN_CODEC,
        "weights_sha256": "",  # Which clips these are says the manifest, by the hash of each.
        "latent_kind": LATENT_KIND,
        "dim": source.clips[0].shape[1],
        "codebooks": 0,
        "frame_rate": rate_of(source, frame_rate),
        "sample_rate": 0,
    }


def _groups(manifest: "pd.DataFrame") -> Iterator["pd.DataFrame"]:
    """Yield the clips of one row group after the other, each of one split."""
    for split in SPLITS:
        clips = manifest[manifest["split"] == split]
        for start in range(0, len(clips), CLIPS_PER_GROUP):
            yield clips.iloc[start : start + CLIPS_PER_GROUP]


def _stored(row: Any, piece: Piece, checks: Checks) -> EncodedClip:  # noqa: ANN401
    clip, part = piece.clip, slice(piece.start, piece.stop)
    latent = checks.see(piece, clip.read(piece.start, piece.stop))
    nothing = np.zeros(len(latent), np.float32)
    return EncodedClip(
        row.clip_id,
        row.voice,
        row.split,
        latent=latent,
        rms_db=nothing if clip.rms_db is None else clip.rms_db[part],
        gated=nothing.astype(bool) if clip.gated is None else clip.gated[part],
        codes=np.zeros((len(latent), 0), np.int16),
    )
