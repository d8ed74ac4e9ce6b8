"""Turn the chosen corpora into 24 kHz clips, a manifest of them, and a list of rejected files."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from mimi_dynamics.pipeline.conventions import SPLITS, TEST_VOICE
from mimi_dynamics.pipeline.engines import run_jobs
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path, remove
from mimi_dynamics.pipeline.params import IngestParams
from mimi_dynamics.speech.audio import (
    SAMPLE_RATE,
    SILENCE_PEAK,
    AudioError,
    read_audio,
    to_pcm,
    write_flac,
)
from mimi_dynamics.speech.corpora import Recording, list_recordings
from mimi_dynamics.speech.file_names import file_name
from mimi_dynamics.speech.splits import assign_split

SOURCES = ".sources"  # No file or folder of a clip has a name that starts with a dot.
QUOTED = '; zeros before a number are kept only in double quotes, as in ["0011"]'
RECORDINGS_PER_TASK = 64  # On a cluster, a task of this size is seconds of work for one core.
MANIFEST_SCHEMA = pa.schema(
    [
        pa.field(name, pa.float64() if name == "seconds" else pa.string(), nullable=False)
        for name in (
            "clip_id",
            "corpus",
            "voice",
            "language",
            "split",
            "path",
            "sha256",
            "seconds",
            "text",
        )
    ]
)


@dataclass(frozen=True)
class Clip:
    """What became of one recording.

    Attributes:
        recording: the source.
        reason: why it was rejected, one of `summary.REASONS`; '' if it became a clip.
        sha256: hash of the source file.
        pcm_sha256: hash of the 16-bit samples.
        seconds: duration of the clip.
    """

    recording: Recording
    reason: str
    sha256: str = ""
    pcm_sha256: str = ""
    seconds: float = 0.0


def ingest_corpora(params: IngestParams, audio_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode all recordings of the chosen corpora into `audio_dir`, which is replaced as a whole.

    Args:
        params: Which corpora to use, where they come from, what to reject and how to split.
        audio_dir: Receives one 24 kHz mono 16-bit FLAC file per clip.

    Returns:
        The manifest (columns of `MANIFEST_SCHEMA`, sorted by `clip_id`) and the rejected files
        (columns `name` and `reason`, sorted).

    Raises:
        InputError: a corpus is not available or has no usable clip, a test voice does not exist,
            or a split is empty.
    """
    with atomic_path(audio_dir) as building:
        workspace = building / SOURCES
        workspace.mkdir(parents=True)
        recordings = _list_all(params, workspace)
        _check_voices(params, {recording.voice for recording in recordings})
        clips = list(_unique(_convert_all(recordings, params, building)))
        _check_corpora(params, clips)
        manifest = _manifest([clip for clip in clips if not clip.reason], params, audio_dir)
        _check_voices(params, set(manifest["voice"]))
        _check_splits(params, manifest)
        remove(workspace)
        _keep_only(building, {file_name(clip_id) for clip_id in manifest["clip_id"]})
    rejected = sorted((clip.recording.name, clip.reason) for clip in clips if clip.reason)
    return manifest, pd.DataFrame(rejected, columns=["name", "reason"], dtype=str)


def _list_all(params: IngestParams, workspace: Path) -> list[Recording]:
    """List all recordings, sorted. Of several formats of one clip id, only the first is used."""
    recordings = [
        recording
        for corpus in dict.fromkeys(params.corpora)
        for recording in list_recordings(corpus, params, workspace)
    ]
    recordings.sort(key=lambda recording: (recording.clip_id, recording.name))
    ids = [""] + [recording.clip_id for recording in recordings]
    return [
        replace(recording, refused="duplicate") if recording.clip_id == before else recording
        for before, recording in zip(ids, recordings, strict=False)
    ]


def _convert_all(recordings: list[Recording], params: IngestParams, folder: Path) -> Iterator[Clip]:
    """Convert recordings in parallel, and yield the results in the order of the recordings."""
    make_converter = partial(Converter, params, folder)
    clips = run_jobs(make_converter, recordings, params.engine, "ingest", RECORDINGS_PER_TASK)
    yield from tqdm(clips, "ingest", len(recordings), unit="file", disable=None)


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
    return Clip(recording, "", source_sha256, pcm_sha256, mono.size / SAMPLE_RATE)


def _unique(clips: Iterator[Clip]) -> Iterator[Clip]:
    """Reject clips whose samples are the same as those of an earlier clip."""
    seen: set[str] = set()
    for clip in clips:
        if clip.reason or clip.pcm_sha256 not in seen:
            seen.add(clip.pcm_sha256)
            yield clip
        else:
            yield Clip(clip.recording, "duplicate")


def _keep_only(folder: Path, names: set[str]) -> None:
    """Remove all files except `names`: duplicates, and files that a lost machine left half-written.

    Args:
        folder: the folder of clips.
        names: relative paths of the files to keep.
    """
    for path in list(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in names:
            path.unlink()


def _manifest(clips: list[Clip], params: IngestParams, audio_dir: Path) -> pd.DataFrame:
    rows = [
        {
            "clip_id": clip.recording.clip_id,
            "corpus": clip.recording.corpus,
            "voice": clip.recording.voice,
            "language": clip.recording.language,
            "split": assign_split(
                clip.recording.voice, clip.recording.prompt, params.splits, params.test_voices
            ),
            "path": (audio_dir / file_name(clip.recording.clip_id)).as_posix(),
            "sha256": clip.sha256,
            "seconds": clip.seconds,
            "text": clip.recording.text,
        }
        for clip in clips
    ]
    return pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA).to_pandas()


def _check_voices(params: IngestParams, voices: set[str]) -> None:
    for voice in params.test_voices:
        if voice not in voices:
            known = ", ".join(sorted(voices)[:20]) + (", …" if len(voices) > 20 else "")
            raise InputError(
                f"ingest.test_voices: {voice!r} must be one of the voices with usable clips, "
                f"which are {known or 'none'}{QUOTED if voice.isdigit() else ''}"
            )


def _check_corpora(params: IngestParams, clips: list[Clip]) -> None:
    for corpus in params.corpora:
        reasons = Counter(clip.reason for clip in clips if clip.recording.corpus == corpus)
        if not reasons:
            raise InputError(f"corpus {corpus}: no usable clip: it holds no audio file at all")
        if not reasons[""]:
            counts = ", ".join(
                f"{count} {reason}" for reason, count in reasons.most_common() if count
            )
            raise InputError(f"corpus {corpus}: no usable clip: all files were rejected ({counts})")


def _check_splits(params: IngestParams, manifest: pd.DataFrame) -> None:
    for split in SPLITS:
        if split == TEST_VOICE or (manifest["split"] == split).any():
            continue
        raise InputError(
            f"ingest.splits.{split} = {getattr(params.splits, split):g}: no recording falls into "
            f"this split; raise its share, or use more than these {len(manifest)} clips"
        )


def write_manifest(manifest: pd.DataFrame, path: Path) -> None:
    """Write a manifest as Parquet, atomically. Equal manifests give equal bytes."""
    table = pa.Table.from_pandas(manifest, MANIFEST_SCHEMA, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary)
