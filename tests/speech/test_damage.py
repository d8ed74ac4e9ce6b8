"""Damaged files: what is kept is what was there, and nothing is joined over a hole."""

import io
import struct
from collections.abc import Callable, Sequence
from functools import cache

import av
import numpy as np
import pytest
import soundfile
from scipy.signal import correlate

from mimi_dynamics.speech.audio import AudioError, Limits, Part, decode_parts
from tests.harness.audio_files import FORMATS, WRITTEN_BY_FFMPEG, encode, encode_as, encode_tracks
from tests.harness.speechlike import speechlike

RATE = 24_000
BLOCK = 2_400  # 0.1 s
SEED, OTHER_SEED = 1, 2
SECONDS = 4.0
TEXT = b"<html><body>404 not found</body></html>\n" * 25
Edit = Callable[[bytes], bytes]
# One frame of these is so many seconds long.
LONG_FRAMES = {"wv": 2.1, "tta": 1.1}
# Formats that are samples and nothing else, where whatever stands in a file is sound.
RAW = {"g722"}


def changed(content: bytes, at: float, new: bytes) -> bytes:
    place = int(at * len(content))
    return content[:place] + new + content[place + len(new) :]


EDITS: dict[str, Edit] = {
    "intact": lambda content: content,
    "begin cut": lambda content: content[len(content) // 8 :],
    "end cut": lambda content: content[: -len(content) // 8],
    "a byte flipped": lambda content: changed(
        content, 0.5, bytes([content[len(content) // 2] ^ 0xFF])
    ),
    "64 zeros": lambda content: changed(content, 0.6, bytes(64)),
    "text inside": lambda content: changed(content, 0.4, TEXT[:500]),
    "zeros before": lambda content: bytes(2_000) + content,
    "text before": lambda content: TEXT + content,
    "text after": lambda content: content + TEXT,
    "zeros after": lambda content: content + bytes(3_000),
}


@cache
def sound(seed: int, rate: int = RATE) -> np.ndarray:
    """Speech at some rate."""
    wave = speechlike(SECONDS, seed)
    times = np.arange(int(SECONDS * rate)) / rate
    return np.interp(times, np.arange(wave.size) / RATE, wave).astype(np.float32)


@cache
def good_file(ending: str, seed: int = SEED) -> bytes:
    """Of one format, at its own rate."""
    rate = WRITTEN_BY_FFMPEG[ending][2] if ending in WRITTEN_BY_FFMPEG else RATE
    return encode_as(ending, sound(seed, rate))


def parts_of(content: bytes, ending: str = "") -> list[Part]:
    """What a file of this ending gives."""
    file = io.BytesIO(content)
    file.name = f"a.{ending}"
    container = "g722" if ending == "g722" else ""
    return list(decode_parts(file, Limits(60.0), container))


def seconds_by_ffmpeg(content: bytes, ending: str) -> float:
    """How much sound FFmpeg's own command gives, which skips packets that fail; 0 if none."""
    file = io.BytesIO(content)
    file.name = f"a.{ending}"
    seconds = 0.0
    try:
        with av.open(file, format="g722" if ending == "g722" else None) as media:
            for packet in media.demux(media.streams.audio[0]):
                try:
                    seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
                except av.FFmpegError:
                    continue
    except av.FFmpegError:
        return seconds
    return seconds


def strange_blocks(parts: Sequence[Part], original: np.ndarray) -> int:
    """Blocks of sound that are not what was there, at one offset for each part, in their order.

    Parts that begin before the one before them ends count with all their blocks.
    """
    strange, heard = 0, -original.size
    for part in parts:
        if part.sound.size < BLOCK:
            continue
        place = int(correlate(original, part.sound, "full", "fft").argmax()) - part.sound.size + 1
        if place < heard - BLOCK // 2:
            strange += part.sound.size // BLOCK
        heard = place + part.sound.size
        count = part.sound.size // BLOCK
        padded = np.pad(original, part.sound.size)[place + part.sound.size :]
        there, here = (wave[: count * BLOCK].reshape(-1, BLOCK) for wave in (padded, part.sound))
        there, here = (wave - wave.mean(axis=1, keepdims=True) for wave in (there, here))
        powers = np.square(there).mean(axis=1), np.square(here).mean(axis=1)
        alike = (there * here).mean(axis=1) > 0.7 * np.sqrt(powers[0] * powers[1])
        strange += int((~alike & (np.maximum(*powers) > 1e-4)).sum())
    return strange


@pytest.mark.parametrize("ending", FORMATS)
def test_intact_files_are_one_part_and_need_no_note(ending: str) -> None:
    (part,) = parts_of(good_file(ending), ending)
    assert (part.start, part.reason, part.notes) == (0.0, "", ())
    assert part.seconds == pytest.approx(SECONDS, abs=0.1)
    assert strange_blocks([part], sound(SEED)) == 0


@pytest.mark.parametrize("edit", [name for name in EDITS if name != "intact"])
@pytest.mark.parametrize("ending", [one for one in FORMATS if one not in RAW])
def test_what_is_kept_was_there(ending: str, edit: str) -> None:
    """All that FFmpeg decodes but for what is next to the damage."""
    content = EDITS[edit](good_file(ending))
    decodes = seconds_by_ffmpeg(content, ending)
    try:
        parts = parts_of(content, ending)
    except AudioError:
        assert decodes < 0.1
        return
    kept = sum(part.sound.size / RATE for part in parts)
    assert kept > decodes - 0.4 - LONG_FRAMES.get(ending, 0.0)
    # A format without checksums cannot tell of every byte: so much is heard, but nothing moves.
    assert strange_blocks(parts, sound(SEED)) <= 2
    ends = [part.start + part.seconds for part in parts]
    np.testing.assert_allclose([part.start for part in parts], [0.0, *ends[:-1]], atol=1e-6)


@pytest.mark.parametrize("ending", [one for one in FORMATS if one not in RAW])
def test_two_in_one_file_do_not_run_into_each_other(ending: str) -> None:
    """The second is another clip, or it is not read."""
    both = np.concatenate([sound(SEED), np.zeros(BLOCK, np.float32), sound(OTHER_SEED)])
    parts = parts_of(good_file(ending) + good_file(ending, OTHER_SEED), ending)
    assert strange_blocks(parts, both) == 0
    assert sum(part.sound.size for part in parts) > 0.9 * SECONDS * RATE


# Encoders that leave no name and no table in the first packet.
NAMELESS = {  # container, codec, and seconds of a quiet room before speech
    "aac": ("adts", "aac", 0.1),
    "mp2": ("mp2", "mp2", 0.0),
    "mp3": ("mp3", "libmp3lame", 0.0),
}


def nameless(ending: str, seed: int) -> bytes:
    """A room is quiet at -80 dB."""
    container, codec, seconds = NAMELESS[ending]
    room = np.random.default_rng(seed).normal(0, 1e-4, int(seconds * RATE)).astype(np.float32)
    wave = np.concatenate([room, sound(seed)])
    return encode_tracks([wave], container, codec, RATE, bare=True)


@pytest.mark.parametrize("ending", NAMELESS)
def test_two_of_encoders_without_a_name_do_not_run_into_each_other(ending: str) -> None:
    """As the first packet tells of a silence before it that is below that of any room."""
    both = np.concatenate([sound(SEED), np.zeros(BLOCK, np.float32), sound(OTHER_SEED)])
    parts = parts_of(nameless(ending, SEED) + nameless(ending, OTHER_SEED), ending)
    assert "joined" in [part.reason for part in parts]
    assert strange_blocks(parts, both) == 0
    assert sum(part.sound.size for part in parts) > 1.9 * SECONDS * RATE
    for seed in range(3, 9):
        (part,) = parts_of(nameless(ending, seed), ending)
        assert part.seconds == pytest.approx(SECONDS, abs=0.2)


@pytest.mark.parametrize("ending", ["aac", "m4a", "mka"])
@pytest.mark.parametrize("packets", [257, 258, 270, 288, 656])
def test_an_encoder_that_names_itself_again_begins_no_recording(ending: str, packets: int) -> None:
    """FFmpeg's does so in every 256th packet; among the last there is one without sound."""
    seconds = packets * 1_024 / RATE
    (part,) = parts_of(encode_as(ending, speechlike(seconds, SEED)), ending)
    assert part.seconds == pytest.approx(seconds, abs=0.1)


def film(seed: int) -> bytes:
    """Pictures between the packets of sound."""
    return encode_tracks([sound(seed)], "avi", "libmp3lame", RATE, pictures=True)


@pytest.mark.parametrize("at", [0.3, 0.5, 0.7])
def test_chunks_that_are_lost_in_avi_cut_the_recording(at: float) -> None:
    """Whatever stands in their place, and whether or not there are pictures between them."""
    for content in (good_file("avi"), film(SEED)):
        for new in (TEXT, bytes(1_000), content[3_000:4_000]):
            before, hole, after = parts_of(changed(content, at, new), "avi")
            assert (before.reason, hole.reason, after.reason) == ("", "damaged", "")
            assert strange_blocks([before, after], sound(SEED)) == 0
        start = int(at * len(content))
        lost = parts_of(content[:start] + content[start + 777 :], "avi")
        assert [part.reason for part in lost] == ["", "damaged", ""]


def test_films_are_whole_and_two_in_one_do_not_run_into_each_other() -> None:
    (part,) = parts_of(film(SEED), "avi")
    assert part.seconds == pytest.approx(SECONDS, abs=0.1)
    both = np.concatenate([sound(SEED), np.zeros(BLOCK, np.float32), sound(OTHER_SEED)])
    parts = parts_of(film(SEED) + film(OTHER_SEED), "avi")
    assert strange_blocks(parts, both) == 0


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2])
def test_au_ends_where_its_header_says(subtype: str, channels: int) -> None:
    """To the sample; what follows is noted with its length."""
    wave = np.tile(sound(SEED)[: 2 * RATE + 7, None], (1, channels))
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, subtype, format="AU")
    (alone,) = parts_of(file.getvalue(), "au")
    first, rest = parts_of(file.getvalue() * 2, "au")
    np.testing.assert_array_equal(first.sound, alone.sound)
    assert rest.reason == "joined"
    assert rest.seconds == pytest.approx(2.0, abs=0.01)


MP3, AAC = ("mp3", "libmp3lame"), ("adts", "aac")
APE = struct.pack("<8sIIII8x", b"APETAGEX", 2_000, 200, 2, 0xA0000000) + b"x" * 168
APE += struct.pack("<8sIIII8x", b"APETAGEX", 2_000, 200, 2, 0x80000000)
ID3V1 = b"TAG" + b"Title".ljust(125, b"\0")
LYRICS = b"LYRICSBEGIN" + b"LYR00100 some words to sing along with" * 5 + b"000210LYRICS200"
ID3V2 = b"ID3\x03\0\0\0\0\0\x14" + bytes(20)
LIST = b"LIST" + struct.pack("<I", 20) + b"INFOIART" + struct.pack("<I", 8) + b"somebody"


def header_gone(content: bytes) -> bytes:
    """Of one frame of MPEG audio."""
    at = content.find(content[content.find(b"\xff\xf3") :][:2], len(content) // 2)
    return content[:at] + bytes(4) + content[at + 4 :]


def five_bad_bytes(content: bytes) -> bytes:
    """Anywhere in a file."""
    bad = bytearray(content)
    for place in np.random.default_rng(1).integers(0, len(bad), 5):
        bad[place] ^= 0xFF
    return bytes(bad)


@pytest.mark.parametrize(
    ("ending", "edit", "least"),
    [
        ("mp3", lambda b: b[1_234:], 3.4),
        ("mp3", lambda b: b[:-100], 3.8),
        ("mp3", lambda b: b + ID3V1, 3.9),
        ("mp3", lambda b: b + APE, 3.9),
        ("mp3", lambda b: b + APE + ID3V1, 3.9),
        ("mp3", lambda b: b + LYRICS + ID3V1, 3.9),
        ("mp3", lambda b: b + bytes(3_000), 3.9),
        ("mp3", lambda b: b + b"</body></html>\n" * 50, 3.9),
        ("mp3", lambda b: bytes(2_000) + b, 3.9),
        ("mp3", header_gone, 3.6),
        ("mp3", lambda b: b + b, 7.8),
        ("aac", lambda b: b[777:], 3.7),
        ("aac", lambda b: b[:-30], 3.8),
        ("opus", lambda b: b[:-200], 2.9),
        ("opus", lambda b: b + good_file("opus", OTHER_SEED), 7.8),
        ("flac", lambda b: b[:-500], 3.7),
        ("flac", lambda b: ID3V2 + b, 3.9),
        ("wav", lambda b: b[:-5_001], 3.8),
        ("wav", lambda b: b + LIST, 3.9),
        ("mp3", five_bad_bytes, 3.0),
    ],
)
def test_how_much_is_kept_of_files_as_people_have_them(
    ending: str, edit: Edit, least: float
) -> None:
    parts = parts_of(edit(good_file(ending)), ending)
    assert sum(part.sound.size for part in parts) / RATE >= least


@pytest.mark.parametrize(
    ("ending", "edit"), [("m4a", lambda b: b[: len(b) // 2]), ("wav", lambda b: ID3V2 + b)]
)
def test_what_ffmpeg_itself_cannot_read_is_no_recording(ending: str, edit: Edit) -> None:
    """As the table of an M4A stands at its end, and no tag belongs before WAV."""
    content = edit(good_file(ending))
    assert seconds_by_ffmpeg(content, ending) == 0
    with pytest.raises(AudioError, match="undecodable"):
        parts_of(content, ending)


def test_two_rates_in_one_file() -> None:
    content = encode(sound(SEED), *MP3, RATE) + encode(sound(OTHER_SEED, 44_100), *MP3, 44_100)
    sounds = [part.sound for part in parts_of(content, "mp3") if not part.reason]
    assert [len(one) / RATE for one in sounds] == pytest.approx([SECONDS, SECONDS], abs=0.3)


def test_a_hole_is_told_with_its_length() -> None:
    """Two clips, and between them the seconds that are not used, 0.15 s beside it included."""
    content = good_file("aac")
    before, hole, after = parts_of(changed(content, 0.5, bytes(2_000)), "aac")
    assert (before.reason, hole.reason, after.reason) == ("", "damaged", "")
    lost = 2_000 / len(content) * SECONDS
    assert lost - 0.1 <= hole.seconds <= lost + 0.4
    assert before.seconds + hole.seconds + after.seconds == pytest.approx(SECONDS, abs=0.25)
