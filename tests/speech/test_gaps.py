"""Time that is missing in a recording: silence that was not sent, packets and pages lost."""

import io
from functools import cache

import numpy as np
import pytest

from mimi_dynamics.speech.audio import Limits, Part, decode_parts
from tests.harness.audio_files import encode_tracks
from tests.speech.test_damage import good_file, sound, strange_blocks

SEED = 1
# Container, codec, rate, and seconds of a packet.
STAMPED = [
    ("webm", "libopus", 48_000, 0.02),
    ("matroska", "libopus", 48_000, 0.02),
    ("matroska", "aac", 24_000, 1_024 / 24_000),
    ("matroska", "libmp3lame", 24_000, 576 / 24_000),
    ("matroska", "flac", 24_000, None),
    ("matroska", "pcm_s16le", 24_000, 320 / 24_000),
    ("ipod", "aac", 24_000, 1_024 / 24_000),
    ("mpegts", "aac", 48_000, 1_024 / 48_000),
]


def parts_of(content: bytes) -> list[Part]:
    return list(decode_parts(io.BytesIO(content), Limits(60.0)))


@pytest.mark.parametrize(("container", "codec", "rate", "packet"), STAMPED)
@pytest.mark.parametrize("lost", [range(20, 21), range(15, 24)])
def test_lost_packets_cut_the_recording(
    container: str, codec: str, rate: int, packet: float | None, lost: range
) -> None:
    content = encode_tracks([sound(SEED, rate)], container, codec, rate, lost=lost)
    before, gap, after = parts_of(content)
    assert (before.reason, gap.reason, after.reason) == ("", "gap", "")
    assert strange_blocks([before, after], sound(SEED)) == 0
    if packet:
        # After a gap, 0.1 s is not used.
        assert gap.seconds - 0.1 == pytest.approx(len(lost) * packet, abs=0.006)
    assert after.start == pytest.approx(before.seconds + gap.seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("container", "codec", "rate", "pictures"),
    [
        ("mov", "pcm_s24le", 48_000, False),
        ("3gp", "aac", 16_000, False),
        ("mp4", "aac", 48_000, True),
        ("matroska", "aac", 48_000, True),
        ("avi", "libmp3lame", 48_000, True),
        ("mpegts", "aac", 48_000, False),
    ],
)
def test_films_and_what_phones_record_have_no_gaps(
    container: str, codec: str, rate: int, pictures: bool
) -> None:
    content = encode_tracks([sound(SEED, rate)], container, codec, rate, pictures=pictures)
    (part,) = parts_of(content)
    assert (part.reason, part.notes) == ("", ())
    assert strange_blocks([part], sound(SEED)) == 0


@cache
def ogg_pages(ending: str) -> list[bytes]:
    content = good_file(ending)
    return [b"OggS" + page for page in content.split(b"OggS")[1:]]


@pytest.mark.parametrize("ending", ["ogg", "opus"])
def test_lost_pages_of_ogg(ending: str) -> None:
    pages = ogg_pages(ending)
    middle = len(pages) // 2 + 1
    before, gap, after = parts_of(b"".join(pages[:middle] + pages[middle + 1 :]))
    assert gap.reason == "gap"
    assert gap.seconds > 0.2
    assert strange_blocks([before, after], sound(SEED)) == 0
    assert sum(part.seconds for part in (before, gap, after)) == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("jitter", [0.004, 0.008])
def test_time_stamps_that_jitter_are_no_gaps(jitter: float) -> None:
    """As those of recorders do that take the time at which a packet arrives."""
    random = np.random.default_rng(0)
    late = random.uniform(-jitter, jitter, 1_000)
    content = encode_tracks(
        [sound(SEED, 48_000)], "webm", "libopus", 48_000, late=lambda number: late[number]
    )
    assert [part.reason for part in parts_of(content)] == [""]


def test_a_clock_that_is_a_little_fast_is_no_gap() -> None:
    content = encode_tracks(
        [sound(SEED, 48_000)], "webm", "libopus", 48_000, late=lambda number: 1e-4 * number
    )
    assert [part.reason for part in parts_of(content)] == [""]
