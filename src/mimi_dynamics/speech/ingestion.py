"""Turn the chosen corpora into 24 kHz clips, a manifest of them, and a list of rejected files."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from mimi_dynamics.pipeline.conventions import SPLITS, TEST_VOICE
from mimi_dynamics.pipeline.engines import run_jobs
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path, remove
from mimi_dynamics.pipeline.params import IngestParams
from mimi_dynamics.speech.conversion import Clip, Converter, piece_id
from mimi_dynamics.speech.corpora import Recording, list_recordings
from mimi_dynamics.speech.duplicates import group_performances
from mimi_dynamics.speech.file_names import file_name
from mimi_dynamics.speech.notes import notes_table, rejections
from mimi_dynamics.speech.splits import DROPPED, assign_splits

SOURCES = ".sources"  # No file or folder of a clip has a name that starts with a dot.
NONE_HELD_OUT = "; -S 'ingest.test_voices=[]' holds none out"
QUOTED = '; zeros before a number are kept only in double quotes, as in ["0011"]'
RECORDINGS_PER_TASK = 64  # On a cluster, a task of this size is seconds of work for one core.
COLUMN_TYPES = {
    "seconds": pa.float64(),
    "gated": pa.list_(pa.field("element", pa.int64())),
}  # All others are text.
MANIFEST_SCHEMA = pa.schema(
    [
        pa.field(name, COLUMN_TYPES.get(name, pa.string()), nullable=False)
        for name in (
            "clip_id",
            "corpus",
            "voice",
            "language",
            "split",
            "path",
            "performance",
            "sha256",
            "seconds",
            "gated",
            "text",
        )
    ]
)


def ingest_corpora(params: IngestParams, audio_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Do what `ingest_with_notes` does, for those who do not ask what was cut or mended."""
    return ingest_with_notes(params, audio_dir)[:2]


def ingest_with_notes(
    params: IngestParams, audio_dir: Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Decode all recordings of the chosen corpora into `audio_dir`, which is replaced as a whole.

    Args:
        params: Which corpora to use, where they come from, what to reject and how to split.
        audio_dir: Receives one 24 kHz mono 16-bit FLAC file per clip.

    Returns:
        The manifest (columns of `MANIFEST_SCHEMA`, sorted by `clip_id`), the rejected files
        (columns `name` and `reason`, sorted), and the notes (`notes.notes_table`).

    Raises:
        InputError: a corpus is not available or has no usable clip, a test voice does not exist,
            or a split is empty.
    """
    with atomic_path(audio_dir) as building:
        workspace = building / SOURCES
        workspace.mkdir(parents=True)
        recordings = _list_all(params, workspace)
        check_voices(params, {recording.voice for recording in recordings})
        clips = list(_unique(_convert_all(recordings, params, building), params.test_voices))
        clips = split_performances(clips, params)
        _check_corpora(params, clips)
        used = sorted((clip for clip in clips if not clip.reason), key=lambda clip: clip.clip_id)
        manifest = _manifest(used, audio_dir)
        check_voices(params, set(manifest["voice"]))
        check_splits(params, manifest)
        remove(workspace)
        _keep_only(building, {file_name(clip_id) for clip_id in manifest["clip_id"]})
    rejected = pd.DataFrame(sorted(rejections(clips)), columns=["name", "reason"], dtype=str)
    return manifest, rejected, notes_table(clips)


def _list_all(params: IngestParams, workspace: Path) -> list[Recording]:
    """List all recordings, sorted. Of several formats of one clip id, only the first is used."""
    recordings = [
        recording
        for corpus in dict.fromkeys(params.corpora)
        for recording in list_recordings(corpus, params, workspace)
    ]
    recordings.sort(key=lambda recording: (recording.clip_id, recording.name))
    ids = [recording.clip_id for recording in recordings]
    known = set(ids)
    return [
        replace(recording, refused="duplicate")
        if recording.clip_id == before
        else replace(recording, clip_id=_unlike_a_piece(recording.clip_id, known))
        for before, recording in zip(["", *ids], recordings, strict=False)
    ]


def _unlike_a_piece(clip_id: str, known: set[str]) -> str:
    """Give an id that no piece of another recording can have."""
    whole, _, number = clip_id.rpartition("-")
    alike = whole in known and number.isdecimal() and piece_id(whole, int(number)) == clip_id
    return piece_id(clip_id, 0) if alike else clip_id


def _convert_all(recordings: list[Recording], params: IngestParams, folder: Path) -> Iterator[Clip]:
    """Convert recordings in parallel, and yield their clips in the order of the recordings."""
    make_converter = partial(Converter, params, folder)
    converted = run_jobs(make_converter, recordings, params.engine, "ingest", RECORDINGS_PER_TASK)
    for clips in tqdm(converted, "ingest", len(recordings), unit="file", disable=None):
        yield from clips


def _unique(clips: Iterator[Clip], test_voices: list[str]) -> Iterator[Clip]:
    """Reject clips whose samples are the same as those of an earlier clip.

    A clip of a test voice stays beside one of another voice, which `split_performances` rejects.
    """
    seen: set[tuple[str, bool]] = set()
    for clip in clips:
        samples = clip.pcm_sha256, clip.recording.voice in test_voices
        if clip.reason or samples not in seen:
            seen.add(samples)
            yield clip
        else:
            yield clip.rejected("duplicate")


def split_performances(clips: list[Clip], params: IngestParams) -> list[Clip]:
    """Find the clips of one performance by their sound, and give every clip its split.

    Rejected are clips whose performance is also one of a test voice, and all but the first clip of
    a performance if `ingest.keep_copies` is false.
    """
    usable = [clip for clip in clips if not clip.reason]
    groups = group_performances([clip.heard for clip in usable])
    # Sounds too plain to be compared, such as tones, can still be the same to the sample.
    same = {clip.pcm_sha256: group for clip, group in zip(usable, groups, strict=True)}
    groups = np.array([same[clip.pcm_sha256] for clip in usable], np.int64)
    readings = [(clip.recording.voice, clip.recording.prompt) for clip in usable]
    splits = assign_splits(readings, groups, params.splits, params.test_voices)
    first: dict[int, str] = {}
    assigned = {}
    for clip, group, split in zip(usable, groups.tolist(), splits, strict=True):
        name = clip.clip_id
        if split == DROPPED or (group in first and not params.keep_copies):
            assigned[name] = clip.rejected("near_duplicate")
        else:
            performance = first.setdefault(group, name)
            assigned[name] = replace(clip, performance=performance, split=split)
    return [clip if clip.reason else assigned[clip.clip_id] for clip in clips]


def _keep_only(folder: Path, names: set[str]) -> None:
    """Remove all files except `names`: duplicates, and files that a lost machine left half-written.

    Args:
        folder: the folder of clips.
        names: relative paths of the files to keep.
    """
    for path in list(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in names:
            path.unlink()


def _manifest(clips: list[Clip], audio_dir: Path) -> pd.DataFrame:
    rows = [
        {
            "clip_id": clip.clip_id,
            "corpus": clip.recording.corpus,
            "voice": clip.recording.voice,
            "language": clip.recording.language,
            "split": clip.split,
            "path": (audio_dir / file_name(clip.clip_id)).as_posix(),
            "performance": clip.performance,
            "sha256": clip.sha256,
            "seconds": clip.seconds,
            "gated": clip.gated,
            "text": clip.recording.text,
        }
        for clip in clips
    ]
    return pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA).to_pandas()


def check_voices(params: IngestParams, voices: set[str]) -> None:
    """Check that the test voices are among those that there are.

    Raises:
        InputError: one of them is not.
    """
    for voice in params.test_voices:
        if voice not in voices:
            known = ", ".join(sorted(voices)[:20]) + (", …" if len(voices) > 20 else "")
            raise InputError(
                f"ingest.test_voices: {voice!r} must be one of the voices with usable clips, "
                f"which are {known or 'none'}{QUOTED if voice.isdigit() else ''}{NONE_HELD_OUT}"
            )


def _check_corpora(params: IngestParams, clips: list[Clip]) -> None:
    for corpus in params.corpora:
        of_corpus = [clip for clip in clips if clip.recording.corpus == corpus]
        if not of_corpus:
            raise InputError(f"corpus {corpus}: no usable clip: it holds no audio file at all")
        if all(clip.reason for clip in of_corpus):
            reasons = Counter(reason for _, reason in rejections(of_corpus))
            counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
            raise InputError(f"corpus {corpus}: no usable clip: all files were rejected ({counts})")


def check_splits(params: IngestParams, manifest: pd.DataFrame) -> None:
    """Check that every split has a clip, but for that of the test voices.

    Raises:
        InputError: one of them has none.
    """
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
