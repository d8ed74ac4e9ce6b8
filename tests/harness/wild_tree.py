"""A disk as people have it: public corpora side by side, a Mac's names, and what is no sound."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tests.harness.audio_files import tone, write_sound
from tests.harness.layouts import LAYOUTS, Voices

JOSE = "josé"
NAMES = (
    unicodedata.normalize("NFD", JOSE),
    "dr.who",
    "dr_who",
    "Anna",
    "anna",
    'o\'brien "red"',
    "lang=en #1",
    "a,b {c}",
    "голос",
    "声",
    "-rf",
    "100%",
)


def write_tree(root: Path, sound_of: Callable[[int], tuple[np.ndarray, int]]) -> Voices:
    """Write every layout and every name, with recordings of any sound.

    Args:
        root: the folder, which must not exist.
        sound_of: gives float [samples] and their rate by the number of a recording.

    Returns:
        The voice of each recording, by its path.
    """
    voices = {
        f"{layout}/{name}": voice
        for layout, write in LAYOUTS.items()
        for name, voice in write(root / layout).items()
    }
    voices |= {f"{name}/{number:02d}.wav": name for name in NAMES for number in range(2)}
    for number, name in enumerate(voices):
        write_recording(root / name, *sound_of(number))
    return voices


def write_recording(path: Path, sound: np.ndarray, rate: int) -> None:
    """Write a recording; TIMIT's are in the format of NIST."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = "NIST" if path.suffix == ".WAV" else None
    soundfile.write(path, sound, rate, "PCM_16" if form else None, format=form)


def write_no_sound(root: Path) -> set[str]:
    """Write what a Mac leaves beside recordings, and what is no sound; gives the names."""
    whole = write_sound(root / "anna" / "whole.wav", tone(0.25, 4_000)).read_bytes()
    (root / "anna" / "whole.wav").unlink()
    files = {
        "anna/._00.wav": b"\0\5\x16\7\0\2\0\0Mac OS X",
        "__MACOSX/anna/._00.wav": b"\0\5\x16\7\0\2\0\0Mac OS X",
        "anna/.DS_Store": b"\0\0\0\1Bud1",
        "anna/empty.wav": b"",
        "anna/header alone.wav": whole[:40],
        "anna/noise.mp3": np.random.default_rng(0).bytes(5_000),
        "anna/page.flac": b"<!doctype html><title>404</title>",
        "anna/notes.pdf": b"%PDF-1.7",
        "README": b"about",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return set(files)
