"""Turn one recording into 24 kHz clips: decode it, look at what each part holds, and write it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np

from mimi_dynamics.pipeline.parallel import in_parallel
from mimi_dynamics.pipeline.params import IngestParams
from mimi_dynamics.speech.audio import SAMPLE_RATE, Part, read_parts, to_pcm, write_flac
from mimi_dynamics.speech.corpora import Recording
from mimi_dynamics.speech.decoding import AudioError
from mimi_dynamics.speech.file_names import file_name
from mimi_dynamics.speech.fingerprints import Fingerprint, fingerprint
from mimi_dynamics.speech.gates import gated_intervals
from mimi_dynamics.speech.stretches import Limits

RECORDINGS_AT_ONCE = 16  # at most; of prompts they are 0.1 s of work
JOBS_EACH = 4  # for every core at least, as long as there are recordings


@dataclass(frozen=True)
class Clip:
    """What became of one recording, or of one part of it.

    Attributes:
        recording: the source.
        reason: why it was rejected, one of `summary.REASONS`, or why sound is missing here, as of
            `Part`; '' if it became a clip.
        piece: number of the clip among those of its recording, from 1; 0 if it is the only one.
        start: in seconds from the beginning of the recording.
        seconds: duration of the clip, or of what was rejected.
        notes: what was done to its sound, as of `Part`.
        sha256: hash of the source file.
        pcm_sha256: hash of the 16-bit samples.
        gated: first sample of each interval of digital silence, and first after it, in turns.
        fingerprint: what the clip sounds like; None if it was rejected.
        performance: id of the first clip of the same performance, which may be this one.
        split: one of `SPLITS`; '' until it is assigned.
    """

    recording: Recording
    reason: str
    piece: int = 0
    start: float = 0.0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    sha256: str = ""
    pcm_sha256: str = ""
    gated: tuple[int, ...] = ()
    fingerprint: Fingerprint | None = field(default=None, compare=False)
    performance: str = ""
    split: str = ""

    @property
    def clip_id(self) -> str:
        """The id of the recording, with the number of the piece if there are several."""
        return (
            piece_id(self.recording.clip_id, self.piece) if self.piece else self.recording.clip_id
        )

    @property
    def heard(self) -> Fingerprint:
        """The fingerprint of a clip that was not rejected.

        Raises:
            ValueError: it was.
        """
        if self.fingerprint is None:
            raise ValueError(f"{self.clip_id}: has no fingerprint")
        return self.fingerprint

    def rejected(self, reason: str) -> "Clip":
        """Give the same part of the recording, not to be used."""
        return Clip(self.recording, reason, 0, self.start, self.seconds, self.notes)


def piece_id(clip_id: str, piece: int) -> str:
    """Give the id of one of several clips of a recording."""
    return f"{clip_id}-{piece:04d}"


@dataclass(frozen=True)
class Converter:
    """Converts recordings to clips. It can be sent to any process.

    Attributes:
        params: what to reject.
        folder: receives a file for each clip.
        cores: whether recordings are converted here, one after the other (1), or by processes.
            Threads kept one core busy and not two, as half of the work is Python's own.
    """

    params: IngestParams
    folder: Path
    cores: int

    def __call__(self, recordings: Sequence[Recording]) -> Iterator[list[Clip]]:
        """Convert recordings, and yield what became of the parts of each, in their order."""
        if self.cores == 1:
            yield from (_convert(one, self.params, self.folder) for one in recordings)
            return
        together = max(1, min(RECORDINGS_AT_ONCE, len(recordings) // (JOBS_EACH * self.cores)))
        jobs = [
            partial(_convert_all, recordings[start : start + together], self.params, self.folder)
            for start in range(0, len(recordings), together)
        ]
        for converted in in_parallel(jobs, "ingest"):
            yield from converted


def _convert_all(
    recordings: Sequence[Recording], params: IngestParams, folder: Path
) -> list[list[Clip]]:
    return [_convert(recording, params, folder) for recording in recordings]


def _convert(recording: Recording, params: IngestParams, folder: Path) -> list[Clip]:
    if recording.refused:
        return [Clip(recording, recording.refused)]
    limits = Limits(params.max_seconds, params.min_seconds, params.cut_long)
    clips: list[Clip] = []
    usable = 0
    try:
        for part in _readable(recording, limits):
            pcm = to_pcm(part.sound)
            clip = _clip(recording, part, pcm, params.min_seconds)
            if not clip.reason:
                usable += 1
                if usable == 2:
                    clips = [_as_first(clip, folder) for clip in clips]
                clip = replace(clip, piece=usable if usable > 1 else 0)
                write_flac(folder / file_name(clip.clip_id), pcm)
            clips.append(clip)
        source_sha256 = _sha256(recording.path) if usable else ""
    except AudioError as error:
        return [Clip(recording, str(error))]
    return [clip if clip.reason else replace(clip, sha256=source_sha256) for clip in clips]


def _readable(recording: Recording, limits: Limits) -> Iterator[Part]:
    try:
        yield from read_parts(recording.path, limits, recording.container)
    except OSError as error:  # The file is not readable or no longer there.
        raise AudioError("undecodable") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AudioError("undecodable") from error


def _clip(recording: Recording, part: Part, pcm: np.ndarray, min_seconds: float) -> Clip:
    """Describe a part of a recording, with a reason if it cannot be used."""
    reason = part.reason
    if not reason and pcm.size < min_seconds * SAMPLE_RATE:
        reason = "too_short"
    if reason:
        return Clip(recording, reason, 0, part.start, part.seconds, part.notes)
    return Clip(
        recording,
        "",
        start=part.start,
        seconds=pcm.size / SAMPLE_RATE,
        notes=part.notes,
        pcm_sha256=sha256(pcm.tobytes()).hexdigest(),
        gated=tuple(gated_intervals(pcm).ravel().tolist()),
        fingerprint=fingerprint(pcm),
    )


def _as_first(clip: Clip, folder: Path) -> Clip:
    """Give what was taken for the only clip of its recording the number 1; so does its file."""
    if clip.reason:
        return clip
    first = replace(clip, piece=1)
    (folder / file_name(clip.clip_id)).replace(folder / file_name(first.clip_id))
    return first
