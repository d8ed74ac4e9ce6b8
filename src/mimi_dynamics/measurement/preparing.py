"""From clips as they were given to the whitened sequences that densities are fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mimi_dynamics.latents.normalizer import Normalizer, fit_normalizer, voiced_frames
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.measurement.splitting import LEAST_GROUPS, drawn_splits, named, thinned
from mimi_dynamics.own_latents.checking import Checks, beyond_rounding
from mimi_dynamics.own_latents.clips import Clip, Source
from mimi_dynamics.own_latents.pieces import Piece, check_size, pieces_of, ready_splits
from mimi_dynamics.pipeline.conventions import FRAME_RATE
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.report.formatting import counted

COMPONENTS = 32  # principal components that are kept, as latents.dim of the pipeline
VOICED_RANGE_DB = 35.0  # as latents.voiced_range_db of the pipeline
SAMPLE_BYTES = 2**27  # that components are fitted to: 65,536 float32 frames of 512 dimensions
NAMELESS = (None, "", "nobody", "unknown")  # voices that say nothing


@dataclass(frozen=True)
class Prepared:
    """Latents ready to be measured.

    Attributes:
        sequences: the whitened frames of all pieces.
        units: (pieces,) the number of the clip or block of each, which intervals draw.
        facts: what they are, as it is told beside the result.
        frame_rate: latents a second; None if nobody says.
        notes: what was done to them, in sentences.
        codec: what the files say of the codec.
    """

    sequences: Sequences
    units: np.ndarray
    facts: dict[str, Any]
    frame_rate: float | None
    notes: list[str] = field(default_factory=list)
    codec: dict[str, Any] = field(default_factory=dict)


def prepare(
    source: Source,
    groups: Sequence[str] | Mapping[str, str] | None = None,
    splits: Sequence[str] | Mapping[str, str] | None = None,
    frame_rate: float | None = None,
    seed: int = 0,
    components: int = COMPONENTS,
    most_frames: int = 500_000,
) -> Prepared:
    """Check latents, split them, and whiten their leading principal components.

    All frames that are measured are read twice, a piece at a time, so that only the whitened ones
    are in memory together.

    Args:
        source: the clips.
        groups: the group of each clip, such as who speaks; never on two sides of the split.
        splits: the split of each clip; None to draw one.
        frame_rate: latents a second; None for what the files say.
        seed: of the drawn split.
        components: number of principal components to keep, at most.
        most_frames: of more, evenly spaced clips are kept.

    Raises:
        InputError: the latents are not fit to be measured. The message says why, and what to do.
    """
    notes: list[str] = []
    clips = source.clips
    check_size(source.label, clips)
    if len(clips) == 1 and splits is not None:
        raise InputError("splits: one array is cut into blocks and split here; leave splits out")
    given_groups = groups_of(clips, groups)
    given_splits = splits_of(clips, splits, given_groups if groups is not None else None)
    pieces = pieces_of(clips, notes)
    sides = sides_of(pieces, clips, given_groups, given_splits, seed, notes)
    pieces, sides = thinned(pieces, sides, most_frames, notes)

    checks = Checks(sum(piece.frames for piece in pieces))
    voiced, dim = voiced_of(pieces), clips[0].shape[1]
    normalizer, kept = checked(checks, source.label, pieces, sides, voiced, components)
    if lost := min(dim, components) - len(normalizer.scale):
        notes.append(f"{counted(lost, 'component')} of no variance beyond rounding: left out.")
    if warning := checks.neighbours.warning():
        notes.append(warning)
    rate = frame_rate or source.frame_rate
    sequences = Sequences(
        frames=whitened(pieces, normalizer),
        voiced=torch.from_numpy(voiced),
        gated=torch.from_numpy(gated_of(pieces)),
        lengths=np.array([piece.frames for piece in pieces], np.int64),
        splits=sides,
        frame_rate=rate or FRAME_RATE,
    )
    units = np.array([piece.unit for piece in pieces])
    facts = {
        "latents": source.label,
        "frames_sha256": checks.digest.hexdigest(),
        "clips": len(clips),
        "frames": len(sequences.frames),
        "dim": dim,
        "components": len(normalizer.scale),
        "variance_kept": kept,
    }
    if given_groups is not None:
        facts["groups"] = len(set(given_groups))
    for split in dict.fromkeys(("train", "validation", "test", *sides.tolist())):
        facts[f"{split}_clips"] = len(set(units[sides == split]))
    return Prepared(sequences, units, facts, rate, notes, source.info)


def groups_of(
    clips: Sequence[Clip], given: Sequence[str] | Mapping[str, str] | None
) -> list[str] | None:
    """Give the group of each clip: that which was given, or else the voice, if files say it."""
    if given is not None:
        return named("groups", given, clips)
    voices = [clip.voice for clip in clips if clip.voice not in NAMELESS]
    return voices if len(voices) == len(clips) else None


def splits_of(
    clips: Sequence[Clip],
    given: Sequence[str] | Mapping[str, str] | None,
    groups: Sequence[str] | None,
) -> np.ndarray | None:
    """Give the split of each clip: that which was given, or else that which files say, if any.

    Args:
        clips: all clips.
        given: the splits that were given.
        groups: groups that were given, none of which may then be on two sides.
    """
    own = [clip.split or "" for clip in clips]
    splits = own if given is None else named("splits", given, clips)
    return ready_splits(splits, groups) if all(splits) else None


def sides_of(
    pieces: Sequence[Piece],
    clips: Sequence[Clip],
    groups: Sequence[str] | None,
    splits: np.ndarray | None,
    seed: int,
    notes: list[str],
) -> np.ndarray:
    """Give the split of each piece, as (pieces,) str.

    Args:
        pieces: all pieces.
        clips: all clips.
        groups: the group of each clip; None for none.
        splits: the split of each clip; None to draw them.
        seed: of the draw.
        notes: to which it is added if groups are on both sides.
    """
    place = {id(clip): number for number, clip in enumerate(clips)}
    of_piece = [place[id(piece.clip)] for piece in pieces]
    own = [groups[clip] for clip in of_piece] if groups is not None and len(clips) > 1 else None
    sides = drawn_splits(pieces, own, seed) if splits is None else splits[of_piece]
    if own is not None:
        learned, tested = (
            {own[n] for n in np.flatnonzero(sides == of)} for of in ("train", "test")
        )
        if shared := len(learned & tested):
            more = f"; to hold groups out takes {LEAST_GROUPS}" if splits is None else ""
            notes.append(
                f"{counted(shared, 'group')} in train and in test: the gain is not that of a new "
                f"one{more}."
            )
    return sides


def gated_of(pieces: Sequence[Piece]) -> np.ndarray:
    """Tell which frames are in or beside digital silence, as (frames,) bool; none if not known."""
    return np.concatenate([
        np.zeros(piece.frames, bool)
        if piece.clip.gated is None
        else piece.clip.gated[piece.start : piece.stop]
        for piece in pieces
    ])  # fmt: skip


def voiced_of(pieces: Sequence[Piece]) -> np.ndarray:
    """Tell which frames are voiced, as (frames,) bool; all if no level is known."""
    return np.concatenate([_voiced(piece) for piece in pieces])


def _voiced(piece: Piece) -> np.ndarray:
    clip = piece.clip
    if clip.rms_db is None or clip.gated is None:
        return np.ones(piece.frames, bool)
    nothing, names = np.zeros((0, 0)), np.array([""])
    lengths = np.array([clip.frames])
    levels = Latents(nothing, clip.rms_db, clip.gated, nothing, lengths, names, names, names, {})
    return voiced_frames(levels, VOICED_RANGE_DB)[piece.start : piece.stop]


def checked(
    checks: Checks,
    label: str,
    pieces: Sequence[Piece],
    splits: np.ndarray,
    voiced: np.ndarray,
    components: int,
) -> tuple[Normalizer, float]:
    """Read all pieces once to check them, and fit the normaliser to voiced frames of train.

    Args:
        checks: what sees all frames.
        label: what the latents are, in words.
        pieces: all pieces.
        splits: (pieces,) the split of each.
        voiced: (frames,) whether each frame is voiced.
        components: number of components to keep at most.

    Returns:
        The normaliser, without components that are no more than rounding, and the share of the
        variance that it keeps.

    Raises:
        InputError: they are not fit to be measured.
    """
    dim = pieces[0].clip.shape[1]
    train = sum(piece.frames for piece, of in zip(pieces, splits, strict=True) if of == "train")
    step = max(1, -(-train * dim * 4 // SAMPLE_BYTES))
    sample, start, seen = [], 0, 0
    for piece, split in zip(tqdm(pieces, "check", unit="clip", disable=None), splits, strict=True):
        values = checks.see(piece, piece.clip.read(piece.start, piece.stop))
        if split == "train":
            if seen % step == 0:
                sample.append(values[voiced[start : start + len(values)]])
            seen += 1
        start += len(values)
    checks.finish(label)
    frames = np.concatenate(sample)
    sample.clear()
    fitted = fit_normalizer(frames, min(dim, components))
    kept = beyond_rounding(fitted, pieces[0].clip.dtype)
    normalizer = Normalizer(fitted.mean, fitted.components[kept], fitted.scale[kept])
    # Of wide latents, a copy in float64 would take as much memory as the fit itself.
    squares = float(np.einsum("ij,ij->", frames, frames, dtype=np.float64))
    total = (squares - len(frames) * float(np.square(fitted.mean).sum())) / (len(frames) - 1)
    return normalizer, min(1.0, float(np.square(normalizer.scale).sum()) / total)


def whitened(pieces: Sequence[Piece], normalizer: Normalizer) -> torch.Tensor:
    """Read all pieces again, and give their (frames, components) whitened coordinates."""
    frames = torch.empty(sum(piece.frames for piece in pieces), len(normalizer.scale))
    start = 0
    for piece in tqdm(pieces, "whiten", unit="clip", disable=None):
        values = np.asarray(piece.clip.read(piece.start, piece.stop), np.float32)
        frames[start : start + len(values)] = torch.from_numpy(normalizer.normalize(values))
        start += len(values)
    return frames
