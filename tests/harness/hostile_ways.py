"""Ways in which an audio file can be other than it should be, for `hostile_audio`.

A way makes one file (or link, or pipe) in a folder of its own, and says what must become of it:
`rejected`, `kept` (sound, only its name or its header is odd: kept bit for bit), `used` (it must
become a clip or several), or `either` (what is damaged may still be decoded, and raw formats take
anything for sound).
"""

import io
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import soundfile

from tests.harness.audio_files import FORMATS, encode_as, write_sound

RATE = 24_000
WAV_RATE, WAV_CHANNELS, WAV_BITS, WAV_DATA = 24, 22, 34, 40  # where they stand in a header


@dataclass
class Place:
    """Where one file is made.

    Attributes:
        folder: of its own.
        outside: folder that must not be read.
        twin: a good clip that is in the corpus already.
        random: what is drawn from.
        kept: (samples,) int16 of every file that must be kept, by path.
    """

    folder: Path
    outside: Path
    twin: Path
    random: np.random.Generator
    kept: dict[Path, np.ndarray] = field(default_factory=dict)

    def sound(self, seconds: float = 0.5) -> np.ndarray:
        """(samples,) int16 that no other file holds: noise and a tone."""
        time = np.arange(round(seconds * RATE)) / RATE
        wave = 8_000 * np.sin(2 * np.pi * self.random.uniform(100, 4_000) * time)
        return np.round(wave + self.random.normal(0, 500, time.size)).astype(np.int16)

    def wave(self, seconds: float = 0.5) -> np.ndarray:
        """(samples,) float32 of such a sound."""
        return (self.sound(seconds) / 2**15).astype(np.float32)

    def keep(self, name: str | Path, pcm: np.ndarray | None = None) -> None:
        """Write a good WAV file under this name, to be kept."""
        pcm = self.sound() if pcm is None else pcm
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(pcm))
        self.kept[path] = pcm

    def write(self, name: str, content: bytes) -> None:
        """Write bytes under this name."""
        (self.folder / name).write_bytes(content)

    def encoded(self, ending: str = "") -> tuple[str, bytearray]:
        """A good file of a format, drawn at random if not given: its ending, and its bytes."""
        ending = ending or str(self.random.choice(FORMATS))
        return ending, bytearray(encode_as(ending, self.wave()))


Make = Callable[[Place], None]
WAYS: dict[str, tuple[str, Make]] = {}


def way(verdict: str) -> Callable[[Make], Make]:
    """Add a function to `WAYS` under its name."""

    def add(make: Make) -> Make:
        WAYS[make.__name__] = verdict, make
        return make

    return add


def simple(verdict: str, **makes: Make) -> None:
    """Add several, by name."""
    for name, make in makes.items():
        WAYS[name] = verdict, make


def wav(values: np.ndarray, subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    """A WAV file of [samples] or [samples, channels]."""
    file = io.BytesIO()
    soundfile.write(file, values, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def patched(place: Place, position: int, form: str, value: int) -> bytes:
    """A good WAV file with another number in its header."""
    content = bytearray(wav(place.sound()))
    struct.pack_into(form, content, position, value)
    return bytes(content)


def with_value(place: Place, value: float) -> bytes:
    """A WAV file of doubles, one of which is `value`."""
    sound = place.sound() / 2**15
    sound[place.random.integers(sound.size)] = value
    return wav(sound, "DOUBLE")


# No sound in it.
simple(
    "rejected",
    no_bytes=lambda p: p.write("a.wav", b""),
    one_byte=lambda p: p.write("a.wav", p.random.bytes(1)),
    no_samples=lambda p: p.write("a.wav", wav(np.zeros(0, np.int16))),
    noise_bytes=lambda p: p.write("a.wav", b"\x00" + p.random.bytes(p.random.integers(9, 50_000))),
    zero_bytes=lambda p: p.write("a.flac", bytes(p.random.integers(1, 100_000))),
    text=lambda p: p.write("a.wav", b"this is not a recording\n" * p.random.integers(1, 999)),
    error_page=lambda p: p.write("a.mp3", b"<!doctype html><title>404</title>" + b"<p>" * 99),
    picture=lambda p: p.write("a.flac", b"\x89PNG\r\n\x1a\n" + p.random.bytes(999)),
    archive=lambda p: p.write("a.ogg", b"PK\x03\x04" + p.random.bytes(999)),
    cut_in_header=lambda p: p.write("a.wav", wav(p.sound())[: p.random.integers(2, 36)]),
)

# A sound that cannot be used.
simple(
    "rejected",
    one_sample=lambda p: p.write("a.wav", wav(p.sound()[:1])),
    too_short=lambda p: p.write("a.wav", wav(p.sound(p.random.uniform(0.01, 0.19)))),
    silent=lambda p: p.write("a.wav", wav(np.zeros(p.random.integers(9_000, 20_000), np.int16))),
    constant=lambda p: p.write(
        "a.wav",
        wav(np.full(p.random.integers(9_000, 20_000), p.random.integers(99, 30_000), np.int16)),
    ),
    almost_silent=lambda p: p.write("a.wav", wav(p.random.integers(-32, 33, 12_000, np.int16))),
    nan=lambda p: p.write("a.wav", with_value(p, np.nan)),
    infinite=lambda p: p.write("a.wav", with_value(p, np.inf)),
    beyond_floats=lambda p: p.write("a.wav", with_value(p, -1e300)),
)

# Headers that tell what cannot be.
simple(
    "rejected",
    rate_zero=lambda p: p.write("a.wav", patched(p, WAV_RATE, "<I", 0)),
    rate_4_hz=lambda p: p.write("a.wav", patched(p, WAV_RATE, "<I", 4)),
    rate_4_ghz=lambda p: p.write("a.wav", patched(p, WAV_RATE, "<I", 4_000_000_000)),
    channels_0=lambda p: p.write("a.wav", patched(p, WAV_CHANNELS, "<H", 0)),
)
simple(
    "either",
    channels_60000=lambda p: p.write("a.wav", patched(p, WAV_CHANNELS, "<H", 60_000)),
    bits_3=lambda p: p.write("a.wav", patched(p, WAV_BITS, "<H", 3)),
    unknown_codec=lambda p: p.write("a.wav", patched(p, 20, "<H", p.random.integers(2**16))),
    format_chunk_4_gb=lambda p: p.write("a.wav", patched(p, 16, "<I", 2**32 - 1)),
    data_chunk_4_gb=lambda p: p.write("a.wav", patched(p, WAV_DATA, "<I", 2**32 - 1)),
    data_chunk_empty=lambda p: p.write("a.wav", patched(p, WAV_DATA, "<I", 0)),
    riff_size_0=lambda p: p.write("a.wav", patched(p, 4, "<I", 0)),
)

# Good sounds under odd names, and odd sounds that are good.
simple(
    "kept",
    wrong_ending=lambda p: p.keep(f"a.{p.random.choice(FORMATS[1:9])}"),
    no_ending=lambda p: p.keep("recording"),
    capitals=lambda p: p.keep("A.WAV"),
    spaces=lambda p: p.keep("  a  take  2 .wav"),
    newline=lambda p: p.keep("a\nfolder/b,link\n.wav".replace("/", " ")),
    quotes=lambda p: p.keep('"a\' ,`b`".wav'),
    comma=lambda p: p.keep("a,duplicate.wav"),
    shell=lambda p: p.keep("$(touch pwned);|&>.wav"),
    option=lambda p: p.keep("-rf.wav"),
    markup=lambda p: p.keep("<script>alert(1)<.script>.wav"),
    name_of_250=lambda p: p.keep("x" * 246 + ".wav"),
    not_ascii=lambda p: p.keep("голос 声 é\u202e.wav"),
    not_text=lambda p: p.keep(os.fsdecode(b"\xff\xfe\x80.wav")),
    reserved=lambda p: p.keep("con.wav"),
    folder_like_a_file=lambda p: p.keep(Path("a.wav") / "b.wav"),
    deep_folders=lambda p: p.keep(Path(*["deep"] * 40) / "a.wav"),
    read_only=lambda p: (p.keep("a.wav"), (p.folder / "a.wav").chmod(0o444)),
    clipped=lambda p: p.keep("a.wav", np.clip(p.sound() * 9.0, -32768, 32767).astype(np.int16)),
)

# What must not be opened.
simple(
    "rejected",
    hidden=lambda p: p.write(".a.wav", wav(p.sound())),
    sidecar=lambda p: p.write("a.txt", wav(p.sound())),
    link_to_nothing=lambda p: (p.folder / "a.wav").symlink_to("nowhere.wav"),
    link_to_itself=lambda p: (p.folder / "a.wav").symlink_to("a.wav"),
    link_within=lambda p: (p.folder / "a.wav").symlink_to(p.twin),
    link_out=lambda p: (p.folder / "a.wav").symlink_to(p.outside / "secret.wav"),
    link_to_folder_out=lambda p: (p.folder / "a").symlink_to(p.outside, target_is_directory=True),
    link_to_folder_above=lambda p: (p.folder / "a").symlink_to("..", target_is_directory=True),
    link_to_device=lambda p: (p.folder / "a.wav").symlink_to("/dev/zero"),
    pipe=lambda p: os.mkfifo(p.folder / "a.wav"),
    socket=lambda p: os.mknod(p.folder / "a.wav", stat.S_IFSOCK | 0o600),
    playlist=lambda p: p.write("a.m3u8", f"#EXTM3U\n#EXTINF:9,\n{p.outside}/secret.wav\n".encode()),
    list_of_files=lambda p: p.write(
        "a.wav", f"ffconcat version 1.0\nfile {p.outside}/secret.wav\n".encode()
    ),
    same_file=lambda p: p.write("a.wav", p.twin.read_bytes()),
    same_sound=lambda p: write_sound(p.folder / "a.flac", soundfile.read(p.twin, dtype="int16")[0]),
)


@way("rejected")
def unreadable(place: Place) -> None:
    place.write("a.wav", wav(place.sound()))
    (place.folder / "a.wav").chmod(0)
    if os.access(place.folder / "a.wav", os.R_OK):  # root may read everything
        (place.folder / "a.wav").unlink()


@way("rejected")
def only_pictures(place: Place) -> None:
    """A film without a sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as media:
        stream = media.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            image = place.random.integers(0, 256, (16, 16, 3), np.uint8)
            media.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        media.mux(stream.encode(None))
    place.write("a.mp4", file.getvalue())


@way("rejected")
def endless(place: Place) -> None:
    """Seems to have gigabytes, in which FFmpeg looks for the next frame: 247 s for 4 GB."""
    write_sound(place.folder / "a.mp3", place.sound(0.3) / 2**15)
    os.truncate(place.folder / "a.mp3", 4_000_000_000)


@way("rejected")
def hours_of_zeros(place: Place) -> None:
    """A WAV file that is as long as its header says, though the disk holds next to nothing."""
    place.write("a.wav", patched(place, WAV_DATA, "<I", 2**32 - 100))
    os.truncate(place.folder / "a.wav", 2**32 - 100)


# Good files of a format drawn at random, damaged.
@way("either")
def cut(place: Place) -> None:
    ending, content = place.encoded()
    place.write(f"a.{ending}", content[: place.random.integers(1, len(content))])


@way("either")
def flipped_bits(place: Place) -> None:
    ending, content = place.encoded()
    for position in place.random.integers(0, len(content), 8):
        content[position] ^= 1 << place.random.integers(8)
    place.write(f"a.{ending}", content)


@way("either")
def flipped_bits_in_header(place: Place) -> None:
    ending, content = place.encoded()
    for position in place.random.integers(0, 64, 4):
        content[position] ^= 1 << place.random.integers(8)
    place.write(f"a.{ending}", content)


@way("either")
def noise_inside(place: Place) -> None:
    ending, content = place.encoded()
    start = place.random.integers(len(content))
    content[start : start + 500] = place.random.bytes(500)
    place.write(f"a.{ending}", content)


@way("either")
def hole_inside(place: Place) -> None:
    ending, content = place.encoded()
    start = place.random.integers(len(content))
    content[start : start + 500] = bytes(500)
    place.write(f"a.{ending}", content)


@way("either")
def bytes_lost(place: Place) -> None:
    ending, content = place.encoded()
    start = place.random.integers(len(content))
    del content[start : start + place.random.integers(1, 500)]
    place.write(f"a.{ending}", content)


@way("either")
def begins_late(place: Place) -> None:
    ending, content = place.encoded()
    place.write(f"a.{ending}", content[place.random.integers(1, 500) :])


@way("either")
def two_in_one(place: Place) -> None:
    (ending, content), (_, other) = place.encoded(), place.encoded()
    place.write(f"a.{ending}", content + other)


@way("either")
def tag_of_gigabytes(place: Place) -> None:
    ending, content = place.encoded()
    place.write(f"a.{ending}", b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + content)
