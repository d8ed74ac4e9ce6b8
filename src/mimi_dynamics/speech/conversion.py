"""Turn one recording into a 24 kHz clip: decode it, look at what it holds, and write it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path

from mimi_dynamics.pipeline.params import IngestParams
from mimi_dynamics.speech.audio import (
    SAMPLE_RATE,
    SILENCE_PEAK,
    AudioError,
    read_audio,
    to_pcm,
    write_flac,
)
from mimi_dynamics.speech.corpora import Recording
from mimi_dynamics.speech.file_names import file_name
from mimi_dynamics.speech.fingerprints import Fingerprint, fingerprint
from mimi_dynamics.speech.gates import gated_intervals


@dataclass(frozen=True)
class Clip:
    """What became of one recording.

    Attributes:
        recording: the source.
        reason: why it was rejected, one of `summary.REASONS`; '' if it became a clip.
        sha256: hash of the source file.
        pcm_sha256: hash of the 16-bit samples.
        seconds: duration of the clip.
        gated: first sample of each interval of digital silence, and first after it, in turns.
        fingerprint: what the clip sounds like; None if it was rejected.
        performance: id of the first clip of the same performance, which may be this one.
        split: one of `SPLITS`; '' until it is assigned.
    """

    recording: Recording
    reason: str
    sha256: str = ""
    pcm_sha256: str = ""
    seconds: float = 0.0
    gated: tuple[int, ...] = ()
    fingerprint: Fingerprint | None = field(default=None, compare=False)
    performance: str = ""
    split: str = ""


@dataclass(frozen=True)
class Converter:
    """Converts recordings to clips. It can be sent to any process.

    Attributes:
        params: what to reject.
        folder: receives a file for each clip.
        cores: how many recordings are converted at the same time. They are converted by threads,
            since FFmpeg and FLAC do not hold Python's lock while they work.
    """

    params: IngestParams
    folder: Path
    cores: int

    def __call__(self, recordings: Sequence[Recording]) -> Iterator[Clip]:
        """Convert recordings, and yield what became of each, in their order."""
        convert = partial(_convert, params=self.params, folder=self.folder)
        with ThreadPoolExecutor(self.cores) as pool:
            yield from pool.map(convert, recordings)


def _convert(recording: Recording, params: IngestParams, folder: Path) -> Clip:
    if recording.refused:
        return Clip(recording, recording.refused)
    try:
        mono = read_audio(recording.path, params.max_seconds, recording.container)
        if mono.size and abs(mono).max() < SILENCE_PEAK:
            raise AudioError("silent")
        if mono.size < params.min_seconds * SAMPLE_RATE:
            raise AudioError("too_short")
        with recording.path.open("rb") as file:
            source_sha256 = file_digest(file, "sha256").hexdigest()
    except AudioError as error:
        return Clip(recording, str(error))
    except OSError:
        return Clip(recording, "undecodable")  # The file is not readable or no longer there.
    pcm = to_pcm(mono)
    write_flac(folder / file_name(recording.clip_id), pcm)
    pcm_sha256 = sha256(pcm.tobytes()).hexdigest()
    gated = tuple(gated_intervals(pcm).ravel().tolist())
    return Clip(
        recording,
        "",
        sha256=source_sha256,
        pcm_sha256=pcm_sha256,
        seconds=mono.size / SAMPLE_RATE,
        gated=gated,
        fingerprint=fingerprint(pcm),
    )
