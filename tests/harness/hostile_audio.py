"""Run `ingest` on a folder of malformed files and good clips, and look at what became of each.

    PYTHONPATH=src .venv/bin/python -m tests.harness.hostile_audio --files 1000 --seed 0

Every file must be either listed in data/rejected.csv with a reason or in the manifest, as one clip
or as pieces that data/notes.csv lists, as its way (`hostile_ways.py`) wants it; good clips must be
there bit for bit, nothing from outside the folder, and nothing beside the outputs. A crash or a
hang ends the command with a traceback.
"""

import argparse
import contextlib
import faulthandler
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import soundfile

from ingest import ingest
from mimi_dynamics.pipeline.limits import CORES_SETTING
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.speech import audio, conversion
from mimi_dynamics.speech.corpora.recording import Recording, printable
from mimi_dynamics.speech.summary import REASONS
from tests.harness import ROOT
from tests.harness.audio_files import ingest_params
from tests.harness.hostile_tracks import WAYS
from tests.harness.hostile_ways import Place

GOOD_CLIPS = 40
MAX_SECONDS = 1.0  # of a clip, and of work on a file
SLOWEST_SECONDS = 5.0  # of work on one file, what FFmpeg does between two reads included
OTHER_OUTPUTS = ("metrics/ingest.json", "metrics/detail/ingest.json", "plots/voices.csv")
HANGS_AFTER_SECONDS = 120.0, 2.0  # of the clock for all files, and for each


@dataclass
class Corpus:
    """What was made.

    Attributes:
        root: folder that is ingested.
        way_of: way of every malformed file, by its name in the list of rejected files.
        kept: (samples,) int16 of what must be kept, by that name.
        secrets: (samples,) int16 of clips outside the folder.
    """

    root: Path
    way_of: dict[str, str] = field(default_factory=dict)
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    secrets: list[np.ndarray] = field(default_factory=list)

    def name(self, path: Path) -> str:
        """As `ingest` calls a file."""
        return f"folder/{printable(path.relative_to(self.root).as_posix())}"


def make_corpus(folder: Path, files: int, seed: int) -> Corpus:
    """Write good clips and `files` malformed ones, every way as often as any other."""
    corpus, outside = Corpus(folder / "speech"), folder / "outside"
    random = np.random.default_rng(seed)
    good = Place(corpus.root / "aaa", outside, Path(), random)  # sorted first: not the duplicate
    for number in range(GOOD_CLIPS):
        good.keep(f"{number:02d}.wav")
    secret = Place(outside, outside, Path(), random)
    secret.keep("secret.wav")
    corpus.secrets = list(secret.kept.values())
    corpus.kept = {corpus.name(path): pcm for path, pcm in good.kept.items()}
    twins = list(good.kept)
    for number in range(files):
        name = list(WAYS)[number % len(WAYS)]
        twin = twins[random.integers(len(twins))]
        place = Place(corpus.root / f"voice{number % 3}" / f"{number:05d}", outside, twin, random)
        place.folder.mkdir(parents=True)
        WAYS[name][1](place)
        corpus.kept |= {corpus.name(path): pcm for path, pcm in place.kept.items()}
        corpus.way_of |= {corpus.name(path): name for path in files_below(place.folder)}
    return corpus


def files_below(folder: Path) -> Iterator[Path]:
    """Everything that is no folder."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path


@contextlib.contextmanager
def timed(seconds: dict[Path, float]) -> Iterator[None]:
    """Within, `seconds` notes how much work it is to convert each file, which is limited."""
    convert = conversion._convert

    def convert_timed(recording: Recording, *arguments: object) -> list[conversion.Clip]:
        start = time.thread_time()
        try:
            return convert(recording, *arguments)
        finally:
            seconds[recording.path] = time.thread_time() - start

    with (
        mock.patch.dict(os.environ, {CORES_SETTING: "1"}),  # in this process, where patches are
        mock.patch.object(conversion, "_convert", convert_timed),
        mock.patch.object(audio, "MAX_WORK_SECONDS", MAX_SECONDS),
    ):
        yield


def run_ingest(corpus: Corpus, work: Path) -> dict[str, float]:
    """The stage in an empty working folder; gives seconds of work by file."""
    work.mkdir()
    seconds: dict[Path, float] = {}
    params = load_params(ROOT / "params.yaml")
    settings = ingest_params(
        folder={"path": str(corpus.root)}, max_seconds=MAX_SECONDS, cut_long=True
    )
    with contextlib.chdir(work), timed(seconds):
        ingest(params.model_copy(update={"ingest": settings}))
    return {corpus.name(path): value for path, value in seconds.items()}


def problems(corpus: Corpus, work: Path, seconds: dict[str, float]) -> list[str]:
    """Everything that is not as promised, in one line each; empty if all is well."""
    manifest = pd.read_parquet(work / "data/manifest.parquet").set_index("clip_id")
    rejected = pd.read_csv(work / "data/rejected.csv", keep_default_na=False)
    reasons = dict(zip(rejected["name"], rejected["reason"], strict=True))
    found = [
        f"{name!r}: {reason} is no reason"
        for name, reason in reasons.items()
        if reason not in REASONS
    ]
    if not (manifest.index.is_monotonic_increasing and manifest.index.is_unique):
        found.append("manifest: not sorted, or a clip twice")
    if len(reasons) != len(rejected) or list(reasons) != sorted(reasons):
        found.append("rejected.csv: not sorted, or a file twice")
    known = corpus.way_of | dict.fromkeys(corpus.kept, "kept")
    notes = pd.read_csv(work / "data/notes.csv", keep_default_na=False)
    pieces = dict(zip(notes["clip_id"], notes["name"], strict=True))
    used = {pieces.get(clip_id, clip_id) for clip_id in manifest.index}
    found += [
        f"{name!r}: not a file of the folder"
        for name in {*used, *reasons, *notes["name"]} - set(known)
    ]
    found += note_problems(notes, manifest)
    for name, way in known.items():
        verdict = "kept" if name in corpus.kept else WAYS[way][0]
        if (name in used) == (name in reasons):
            found.append(f"{name!r} ({way}): must be either kept or rejected, once")
        elif verdict in ("kept", "used") and name in reasons:
            found.append(f"{name!r} ({way}): must be {verdict}, is {reasons[name]}")
        elif verdict == "rejected" and name not in reasons:
            found.append(f"{name!r} ({way}): must be rejected")
    found += [f"{name!r}: took {s:.1f} s" for name, s in seconds.items() if s > SLOWEST_SECONDS]
    return found + clip_problems(corpus, work, manifest)


def note_problems(notes: pd.DataFrame, manifest: pd.DataFrame) -> list[str]:
    """What is wrong with the notes: they must name clips, and leave out no time."""
    found = []
    for name, rows in notes.groupby("name"):
        clips = [clip_id for clip_id in rows["clip_id"] if clip_id]
        if not clips or not set(clips) <= set(manifest.index):
            found.append(f"{name!r}: noted, but its clips are {clips}")
        elif manifest.loc[clips, "split"].nunique() > 1:
            found.append(f"{name!r}: in two splits")
        ends = (rows["start_seconds"] + rows["seconds"]).to_numpy()
        if not np.allclose(rows["start_seconds"], [0.0, *ends[:-1]], atol=0.005):
            found.append(f"{name!r}: time is left out, or is there twice")
    return found


def clip_problems(corpus: Corpus, work: Path, manifest: pd.DataFrame) -> list[str]:
    """What is wrong with the clips that were written, or with files beside them."""
    found = []
    for name, path in manifest["path"].items():
        pcm, rate = soundfile.read(work / path, dtype="int16")
        if rate != audio.SAMPLE_RATE or not 0.2 <= len(pcm) / rate <= MAX_SECONDS + 0.01:
            found.append(f"{name!r}: {len(pcm)} samples at {rate} Hz")
        if name in corpus.kept and not np.array_equal(pcm, corpus.kept[name]):
            found.append(f"{name!r}: not bit for bit what it was")
        if any(np.array_equal(pcm, secret) for secret in corpus.secrets):
            found.append(f"{name!r}: comes from outside the folder")
    written = {path.relative_to(work).as_posix() for path in files_below(work)}
    expected = {*manifest["path"], "data/manifest.parquet", "data/rejected.csv", "data/notes.csv"}
    for path in written ^ {*expected, *OTHER_OUTPUTS}:
        found.append(f"{path}: must not be there, or is missing")
    return found


def table(corpus: Corpus, work: Path, seconds: dict[str, float]) -> pd.DataFrame:
    """By way: files, how many were rejected and kept, the most work on one, and reasons."""
    rejected = pd.read_csv(work / "data/rejected.csv", keep_default_na=False)
    reasons = dict(zip(rejected["name"], rejected["reason"], strict=True))
    rows = pd.DataFrame(
        {
            "way": way,
            "reason": reasons.get(name, ""),
            "rejected": name in reasons,
            "seconds": seconds.get(name, 0.0),
        }
        for name, way in (
            corpus.way_of | dict.fromkeys(set(corpus.kept) - set(corpus.way_of), "good clip")
        ).items()
    )
    summary = rows.groupby("way").agg(
        files=("way", "size"),
        rejected=("rejected", "sum"),
        slowest_s=("seconds", "max"),
        reasons=("reason", lambda of: " ".join(sorted(set(of) - {""}))),
    )
    summary.insert(2, "kept", summary["files"] - summary["rejected"])
    return summary.reindex([way for way in (*WAYS, "good clip") if way in summary.index])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1000, help="malformed files (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = make_corpus(folder, options.files, options.seed)
        at_start, for_each = HANGS_AFTER_SECONDS
        faulthandler.dump_traceback_later(at_start + for_each * options.files, exit=True)
        started = time.monotonic()
        seconds = run_ingest(corpus, folder / "work")
        took = time.monotonic() - started
        faulthandler.cancel_dump_traceback_later()
        print(table(corpus, folder / "work", seconds).to_string(float_format="%.2f"))
        found = problems(corpus, folder / "work", seconds)
    ways = set(corpus.way_of.values())
    print(
        f"{len(corpus.way_of)} files in {len(ways)} ways and {GOOD_CLIPS} good clips: "
        f"{took:.0f} s, most work on one {max(seconds.values()):.2f} s"
    )
    if "unreadable" not in ways:
        print("no unreadable files: this user may read everything")
    if found:
        sys.exit("hostile_audio: error:\n" + "\n".join(found))
    print("every file as promised")


if __name__ == "__main__":
    main()
