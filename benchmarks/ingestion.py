r"""What becomes of files as people have them, and how fast files are converted, before and after.

    git worktree add ../before REVISION
    PYTHONPATH=src:. .venv/bin/python benchmarks/ingestion.py --before ../before

Recordings of ten seconds are damaged, joined and mixed in the ways that people report, and read
with the code of both working trees. Then sound files of the usual formats are converted on one core
by both in turns; of each, the time counts in which the processor had the least to do. Prints a
section, which --write puts at the end of docs/explanation/ingestion.md. Takes 2 minutes of a core.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROUNDS, TIMES = 2, 5  # in turns, and how often each format is converted in each of them
SECONDS = 30.0  # of what is converted
PAGE, HEADING = Path("docs/explanation/ingestion.md"), "## Measured"
COMMAND = "PYTHONPATH=src:. .venv/bin/python benchmarks/ingestion.py --before ../before --write"
FAST = ("g722", "wav", "flac", "mp3", "opus", "m4a", "aac", "mp2", "ac3")
Found = dict[str, Any]


def main() -> None:
    """Run the benchmark, or its part in one working tree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="working tree of the code to compare with")
    parser.add_argument("--write", action="store_true", help="into docs/explanation/ingestion.md")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read_all(arguments.read)))
        return
    if not arguments.before:
        parser.error("--before: must name a working tree")
    with tempfile.TemporaryDirectory() as name:
        write_examples(Path(name) / "kinds")
        write_speech(Path(name) / "speed")
        rounds = [
            {tree: run(path, Path(name)) for tree, path in trees.items()}
            for trees in [{"before": arguments.before, "after": Path()}] * ROUNDS
        ]
    text = "\n".join([*kinds(rounds[0], commit_of(arguments.before)), "", *speeds(rounds)])
    print(text)
    if arguments.write:
        above = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
        PAGE.write_text(f"{above}{HEADING}\n\n{text}\n", encoding="utf-8")


def run(tree: Path, folder: Path) -> Found:
    """Read everything with the code of a working tree."""
    result = subprocess.run(
        [sys.executable, Path(__file__).resolve(), "--read", folder],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": "src", "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(result.stdout)


def read_all(folder: Path) -> Found:
    """Give what became of the examples, and seconds of the processor for each format."""
    from mimi_dynamics.pipeline.params import load_params
    from mimi_dynamics.speech.conversion import Converter
    from mimi_dynamics.speech.corpora import Recording

    params = load_params().ingest

    def convert(path: Path, container: str = "") -> list[Any]:
        recording = Recording(
            path.name, path.name, "folder", "a", "", path.name, path, "", container
        )
        with tempfile.TemporaryDirectory() as clips:
            found = next(Converter(params, Path(clips), 1)([recording]))
        return found if isinstance(found, list) else [found]

    def seconds_for(path: Path) -> float:
        start = time.process_time()
        convert(path, "g722" if path.suffix == ".g722" else "")
        return time.process_time() - start

    cpu = {
        ending: min(seconds_for(folder / "speed" / f"speech.{ending}") for _ in range(TIMES))
        for ending in FAST
    }
    told = {path.name: [*map(in_words, convert(path))] for path in (folder / "kinds").iterdir()}
    return {"kinds": told, "cpu": cpu}


def in_words(clip: Any) -> str:  # noqa: ANN401
    """Give the seconds and the notes of a clip, or the reason why it is none."""
    notes = ", ".join(getattr(clip, "notes", ()))
    length = f"{clip.seconds:.1f} s"
    if clip.reason:
        return f"({clip.reason}, {length})" if clip.seconds else f"({clip.reason})"
    return f"{length}, {notes}" if notes else length


def write_examples(folder: Path) -> None:
    """Write recordings of ten seconds, each with something the matter."""
    from tests.harness.audio_files import encode, encode_as, encode_tracks
    from tests.harness.speechlike import speechlike

    folder.mkdir()
    voice, other = speechlike(10.0, 1), speechlike(10.0, 2)
    fast = np.repeat(voice, 2)
    files = {
        ending: encode_as(ending, voice) for ending in ("mp3", "aac", "m4a", "avi", "flac", "wav")
    }
    files["opus"] = encode(fast, "ogg", "libopus", 48_000)
    webm = partial(encode_tracks, container="webm", codec="libopus", rate=48_000)
    film = partial(encode_tracks, container="matroska", codec="aac", rate=48_000)

    def zeros(ending: str, count: int) -> bytes:
        content, middle = files[ending], len(files[ending]) // 2
        return content[:middle] + bytes(count) + content[middle + count :]

    def flipped(ending: str) -> bytes:
        content, middle = files[ending], len(files[ending]) // 2
        return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]

    tag = b"TAG" + bytes(125)
    pages = [b"OggS" + page for page in files["opus"].split(b"OggS")[1:]]
    contents = {
        "text after.mp3": files["mp3"] + b"</body></html>\n" * 50,
        "lyrics and tag after.mp3": files["mp3"] + b"LYRICSBEGIN" + b"words " * 99 + tag,
        "zeros inside.mp3": zeros("mp3", 400),
        "joined.mp3": files["mp3"] + encode_as("mp3", other),
        "joined, two rates.mp3": files["mp3"] + encode(fast, "mp3", "libmp3lame", 48_000),
        "joined, no table.mp3": b"".join(
            encode_tracks([sound], "mp3", "libmp3lame", bare=True) for sound in (voice, other)
        ),
        **{
            f"joined.{ending}": encode_as(ending, voice) + encode_as(ending, other)
            for ending in ("mp2", "ac3", "au", "avi")
        },
        "a chunk lost.avi": zeros("avi", 500),
        "zeros inside.aac": zeros("aac", 20),
        "end cut.aac": files["aac"][:-30],
        "zeros inside.m4a": zeros("m4a", 40),
        "a byte flipped.flac": flipped("flac"),
        "end cut.flac": files["flac"][:-500],
        "a byte flipped.opus": flipped("opus"),
        "a page lost.opus": b"".join(pages[:5] + pages[6:]),
        "joined.opus": files["opus"] + encode(fast[::-1], "ogg", "libopus", 48_000),
        "1 s not sent.webm": webm([fast], lost=range(200, 250)),
        "a packet lost.webm": webm([fast], lost=[200]),
        "silent first track.mkv": film([0 * fast, fast], default=[1]),
        "default is silent.mkv": film([0 * fast, fast], default=[0]),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sounds = {
        "one channel off.wav": np.outer(voice, [0, 1]),
        "inverted, -1 dB.wav": np.outer(voice, [1, -0.89]),
        "offset 0.15.wav": voice + 0.15,
        "constant.wav": 0 * voice + 0.1,
        "five minutes.wav": np.tile(voice, 30),
    }
    for name, sound in sounds.items():
        soundfile.write(folder / name, sound, 24_000)


def write_speech(folder: Path) -> None:
    """Write the recording whose conversion is timed, in every format."""
    from tests.harness.audio_files import encode_as
    from tests.harness.speechlike import speechlike

    folder.mkdir()
    for ending in FAST:
        (folder / f"speech.{ending}").write_bytes(encode_as(ending, speechlike(SECONDS, 0)))


def commit_of(tree: Path) -> str:
    """Give the commit of a working tree, in short."""
    command = ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def kinds(found: dict[str, Found], before: str) -> Iterator[str]:
    """Yield the table of what became of each example.

    Args:
        found: by working tree.
        before: the commit of the one to compare with.
    """
    yield f"By `{COMMAND}`, where `../before` is a working tree of commit {before}."
    yield "Of each file of ten seconds: its clips, and in brackets what is not used."
    yield ""
    yield "| file | before | after |"
    yield "|---|---|---|"
    for name in sorted(found["after"]["kinds"], key=lambda name: (Path(name).suffix, name)):
        before, after = (shortened(found[tree]["kinds"][name]) for tree in ("before", "after"))
        yield f"| {name} | {before} | {after} |"


def shortened(parts: list[str]) -> str:
    """Join what became of the parts of a recording, the first four of many."""
    shown = [re.sub(r"\.0 s", " s", part) for part in parts[:4]]
    rest = len(parts) - len(shown)
    return " · ".join(shown) + (f" · and {rest} more" if rest else "")


def speeds(rounds: list[dict[str, Found]]) -> Iterator[str]:
    """Yield the table of speeds."""
    yield "Hours of audio converted in a minute of one core, by the fewest seconds of the processor"
    yield f"in {len(rounds) * TIMES} conversions of {SECONDS:g} s, in turns:"
    yield ""
    yield "| format | before | after | ratio |"
    yield "|---|--:|--:|--:|"
    for ending in FAST:
        before, after = (
            60 * SECONDS / 3600 / min(found[tree]["cpu"][ending] for found in rounds)
            for tree in ("before", "after")
        )
        yield f"| {ending} | {before:.2f} | {after:.2f} | {after / before:.2f} |"


if __name__ == "__main__":
    main()
