"""More ways for `hostile_audio`: tracks and channels to choose from, gaps, more than one clip."""

import numpy as np

from tests.harness.audio_files import encode, encode_tracks
from tests.harness.hostile_ways import RATE, WAYS, Place, simple, wav, way

__all__ = ["WAYS"]  # These and those of `hostile_ways`.


def in_tracks(place: Place, sounds: list[np.ndarray], container: str = "matroska") -> bytes:
    """A film without pictures; some of its tracks may be marked as default."""
    default = set(place.random.integers(len(sounds), size=place.random.integers(3)))
    return encode_tracks(sounds, container, "aac", RATE, default)


simple(
    "used",
    too_long=lambda p: p.write("a.wav", wav(p.sound(p.random.uniform(1.01, 9)))),
    two_rates=lambda p: p.write(
        "a.mp3", b"".join(encode(p.wave(), "mp3", "libmp3lame", r) for r in (RATE, 48_000))
    ),
    two_tracks=lambda p: p.write("a.mkv", in_tracks(p, [p.wave(), p.wave()])),
    silent_track=lambda p: p.write("a.mp4", in_tracks(p, [p.wave() * 0, p.wave()], "mp4")),
    many_tracks=lambda p: p.write("a.mkv", in_tracks(p, [p.wave() for _ in range(20)])),
    tracks_of_other_lengths=lambda p: p.write(
        "a.mkv", in_tracks(p, [p.wave(seconds) for seconds in (0.4, 3.0, 0.01)])
    ),
    gap=lambda p: p.write(
        "a.webm", encode_tracks([p.wave()], "webm", "libopus", 48_000, lost=range(12, 14))
    ),
    inverted=lambda p: p.write("a.wav", wav(np.outer(p.sound(), [0.9, -0.8]).astype(np.int16))),
    dead_channels=lambda p: p.write(
        "a.wav", wav(np.outer(p.sound(), [0, 0, 1, 0, 0, 0]).astype(np.int16))
    ),
    offset=lambda p: p.write("a.wav", wav((p.sound() + 5_000).astype(np.int16))),
)
simple(
    "either",
    gaps_everywhere=lambda p: p.write(
        "a.mka",
        encode_tracks(
            [p.wave(2.0)], "matroska", "aac", RATE, lost=set(p.random.integers(47, size=20))
        ),
    ),
    time_stamps_of_nonsense=lambda p: p.write(
        "a.webm",
        encode_tracks([p.wave()], "webm", "libopus", 48_000, late=lambda n: 0.3 * n * n),
    ),
)


@way("either")
def damaged_tracks(place: Place) -> None:
    content = bytearray(in_tracks(place, [place.wave(), place.wave()]))
    for position in place.random.integers(0, len(content), 12):
        content[position] ^= 1 << place.random.integers(8)
    place.write("a.mkv", content)


@way("either")
def track_of_an_unknown_codec(place: Place) -> None:
    content = in_tracks(place, [place.wave(), place.wave()])
    place.write("a.mkv", content.replace(b"A_AAC", b"A_XYZ", 1))
