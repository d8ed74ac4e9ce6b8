"""How often it is told that another recording begins in a file that is nothing but packets.

    PYTHONPATH=src:. .venv/bin/python benchmarks/joins.py [--audio data/audio] [--splits test]

Prompts that `ingest` made, none on which the thresholds in `speech/joins.py` and `holes.py` were
chosen, are encoded without the name of the encoder, as they are and with the noise of a room. Two
in one file, and each alone, are then read as `ingest` reads recordings. Prints a section, which
--write keeps in docs/explanation/ingestion.md. Takes 4 minutes of a core.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from scipy.signal import resample_poly
from scipy.stats import binomtest
from tests.harness.audio_files import encode_tracks
from tqdm import tqdm

import machine
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.speech.audio import SAMPLE_RATE
from mimi_dynamics.speech.conversion import Clip, Converter
from mimi_dynamics.speech.corpora import Recording

COMMAND = "PYTHONPATH=src:. .venv/bin/python benchmarks/joins.py --write"
PAGE, TITLE = Path("docs/explanation/ingestion.md"), "Joins that are told"
SPLITS = ("test", "test_voice")
JOINS, MINUTES = 40, 12.0
TUNED_MINUTES = 3.0  # of prompts in the same order, on which thresholds were chosen
ROOM_DB = -60.0  # of full scale, white
NEAR_SECONDS = 0.1  # A cut so far from the join is another; so much after a cut is not used.
BREAKS = {"joined", "damaged", "gap"}


@dataclass(frozen=True)
class Format:
    """What is written: FFmpeg's names of container and encoder, in Hz and kbit/s."""

    name: str
    container: str
    encoder: str
    rate: int
    kbits: int

    def __str__(self) -> str:
        """Give its row in the table."""
        return f"{self.name}, {self.kbits} kbit/s"

    def encode(self, sound: np.ndarray) -> bytes:
        """Write float [samples] at 24 kHz, without a name, a table or a tag."""
        wave = np.clip(resample_poly(sound, self.rate, SAMPLE_RATE), -1, 1)
        return encode_tracks(
            [wave], self.container, self.encoder, self.rate, bare=True, bit_rate=1000 * self.kbits
        )


FORMATS = [
    *(Format("MP2", "mp2", "mp2", 24_000, kbits) for kbits in (160, 64, 32)),
    Format("MP3 of LAME", "mp3", "libmp3lame", 24_000, 64),
    *(Format("AAC", "adts", "aac", 24_000, kbits) for kbits in (72, 24)),
    Format("AC-3", "ac3", "ac3", 48_000, 96),
    Format("E-AC-3", "eac3", "eac3", 48_000, 96),
]


@dataclass(frozen=True)
class Found:
    """What was found of one format.

    Attributes:
        told: how many joins were told.
        abrupt: how many were told where the second begins in the middle of speech.
        joins: of so many.
        cuts: how often whole recordings were cut.
        seconds: of whole recordings.
    """

    told: int
    abrupt: int
    joins: int
    cuts: int
    seconds: float


def main() -> None:
    """Measure and print, and with --write keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, default=Path("data/audio"), help="what ingest made")
    parser.add_argument("--splits", nargs="+", default=SPLITS, help="of the prompts")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of prompts, at most")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE}")
    arguments = parser.parse_args()
    sounds = read_prompts(arguments.audio, arguments.splits, arguments.minutes)
    rooms = {"as they are": sounds, "with noise": [*map(in_a_room, sounds, range(len(sounds)))]}
    rows = {
        kind: [measure(kind, heard) for heard in rooms.values()]
        for kind in tqdm(FORMATS, "formats", disable=None)
    }
    text = "\n".join(section(rows, len(sounds), arguments.splits))
    print(text)
    if arguments.write:
        machine.PAGE = PAGE
        machine.write_section(TITLE, text)


def read_prompts(
    audio: Path, splits: Sequence[str], minutes: float, skipped: float = TUNED_MINUTES
) -> list[np.ndarray]:
    """Give clips of some splits in an order by chance, but for those of the minutes to skip."""
    clips = pd.read_parquet(audio.parent / "manifest.parquet")
    tuned = some_of(clips, SPLITS, skipped)["clip_id"]
    clips = some_of(clips[~clips["clip_id"].isin(tuned)], splits, minutes)
    paths = [audio / Path(path).relative_to("data/audio") for path in clips["path"]]
    return [soundfile.read(path, dtype="float32")[0] for path in paths]


def some_of(clips: pd.DataFrame, splits: Sequence[str], minutes: float) -> pd.DataFrame:
    """Give clips of some splits in an order by chance, of so many minutes at most."""
    clips = clips[clips["split"].isin(splits)].sort_values("clip_id").sample(frac=1, random_state=0)
    return clips[clips["seconds"].cumsum() <= 60 * minutes]


def in_a_room(sound: np.ndarray, seed: int) -> np.ndarray:
    """Add noise."""
    noise = np.random.default_rng(seed).normal(0, 10 ** (ROOM_DB / 20), sound.size)
    return np.clip(sound + noise, -1, 1).astype(np.float32)


def without_beginning(sound: np.ndarray) -> np.ndarray:
    """Leave out what comes before the loudest 0.1 s of the first half."""
    block = SAMPLE_RATE // 10
    blocks = sound[: max(block, sound.size // 2) // block * block].reshape(-1, block)
    return sound[block * int(np.square(blocks).mean(axis=1).argmax()) :]


def measure(kind: Format, sounds: Sequence[np.ndarray], joins: int = JOINS) -> Found:
    """Read recordings of one format alone, and the first of them in pairs."""
    files = [kind.encode(sound) for sound in sounds]
    alone = read(files, kind.container)
    firsts = range(0, min(2 * joins, len(files) - 1), 2)

    def told(seconds: Sequence[bytes]) -> int:
        whole = [files[first] + second for first, second in zip(firsts, seconds, strict=True)]
        pairs = zip(firsts, read(whole, kind.container), strict=True)
        return sum(is_cut(clips, length(alone[first])) for first, clips in pairs)

    return Found(
        told([files[first + 1] for first in firsts]),
        told([kind.encode(without_beginning(sounds[first + 1])) for first in firsts]),
        len(firsts),
        sum(clip.reason in BREAKS for clips in alone for clip in clips),
        sum(map(length, alone)),
    )


def read(files: Sequence[bytes], ending: str) -> list[list[Clip]]:
    """Give what becomes of the parts of each file."""
    with tempfile.TemporaryDirectory() as name:
        folder, recordings = Path(name), []
        for number, content in enumerate(files):
            path = folder / f"{number}.{ending}"
            path.write_bytes(content)
            recordings.append(
                Recording(str(number), path.name, "folder", "a", "", path.name, path, "", "")
            )
        return list(Converter(load_params().ingest, folder / "clips", 1)(recordings))


def length(clips: Sequence[Clip]) -> float:
    """Give the seconds of a recording."""
    return clips[-1].start + clips[-1].seconds


def is_cut(clips: Sequence[Clip], place: float) -> bool:
    """Tell whether a recording is cut at a place in seconds."""
    return any(clip.reason in BREAKS and abs(clip.start - place) < NEAR_SECONDS for clip in clips)


def section(rows: dict[Format, list[Found]], prompts: int, splits: Sequence[str]) -> Iterator[str]:
    """Yield the words and the table."""
    first = next(iter(rows.values()))[0]
    yield (
        f"By `{COMMAND}`: {prompts:,} prompts\n"
        f"of the splits {' and '.join(splits)} were encoded, as they are and with room noise at "
        f"−{abs(ROOM_DB):.0f} dB,\nand {first.joins} times two in one file, the second whole or "
        "without what comes before its loudest 0.1 s. *Told* are those files\n"
        f"that are cut where the second begins, to {NEAR_SECONDS:g} s, with 95 % intervals. "
        "*Cuts in an hour* are those of prompts alone,\n"
        "which should never be cut; in brackets, how many there are in "
        f"{first.seconds / 60:.1f} minutes."
    )
    yield ""
    heads = ("told", "told, begun in speech", "cuts in an hour")
    yield "| " + " | ".join(["format", *heads, *(f"{head}, noise" for head in heads)]) + " |"
    yield "|---" + 2 * len(heads) * "|--:" + "|"
    for kind, found in rows.items():
        yield "| " + " | ".join([str(kind), *(cell for one in found for cell in cells(one))]) + " |"


def cells(found: Found) -> Iterator[str]:
    """Yield the three cells of what was found."""
    for count in (found.told, found.abrupt):
        low, high = binomtest(count, found.joins).proportion_ci(method="wilson")
        yield f"{100 * count / found.joins:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    yield f"{3600 * found.cuts / found.seconds:.0f} ({found.cuts})"


if __name__ == "__main__":
    main()
