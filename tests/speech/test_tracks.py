"""Files with several audio tracks, as meetings, films and screen recorders leave them."""

import io
from collections.abc import Container

import numpy as np
import pytest

from mimi_dynamics.speech.audio import Limits, decode_parts
from tests.harness.audio_files import encode_tracks
from tests.harness.speechlike import speechlike

RATE = 48_000
VOICE = np.repeat(speechlike(2.0, seed=1), 2)
QUIET = 0.3 * np.repeat(speechlike(2.0, seed=2), 2)
SILENT = np.zeros_like(VOICE)
CONSTANT = np.full_like(VOICE, 0.01)


@pytest.mark.parametrize(("container", "codec"), [("matroska", "aac"), ("mp4", "aac")])
@pytest.mark.parametrize(
    ("tracks", "default", "chosen"),
    [
        ([SILENT, VOICE], [1], 2),
        ([VOICE, QUIET], [1], 2),
        ([QUIET, VOICE], [0], 1),
        ([SILENT, VOICE], [0], 2),  # nothing is lost to a silent default
        ([CONSTANT, VOICE], [0], 2),
        ([SILENT, QUIET, VOICE], [0, 1, 2], 3),
        ([VOICE, QUIET, SILENT], None, 1),
    ],
)
def test_the_default_track_or_else_the_loudest(
    container: str,
    codec: str,
    tracks: list[np.ndarray],
    default: Container[int] | None,
    chosen: int,
) -> None:
    content = encode_tracks(tracks, container, codec, RATE, default)
    (part,) = decode_parts(io.BytesIO(content), Limits(3.0))
    assert part.notes == (f"track {chosen} of {len(tracks)}",)
    wanted = tracks[chosen - 1][::2]
    shift = int(np.correlate(part.sound, wanted[10_000:20_000], "valid").argmax()) - 10_000
    found = part.sound[10_000 + shift : 20_000 + shift]
    assert np.corrcoef(found, wanted[10_000:20_000])[0, 1] > 0.95


def test_the_loudest_if_none_is_marked() -> None:
    """Matroska can tell so; in MP4, FFmpeg marks the first."""
    content = encode_tracks([QUIET, VOICE], "matroska", "aac", RATE, [])
    (part,) = decode_parts(io.BytesIO(content), Limits(3.0))
    assert part.notes == ("track 2 of 2",)


@pytest.mark.parametrize("default", [[0], [0, 1], []])
def test_a_default_that_is_too_short_to_use_hides_nothing(default: list[int]) -> None:
    """Such as the click at the start of a recorder, louder than any speech."""
    click = np.sign(VOICE[:2_000] + 1e-9)
    content = encode_tracks([click, VOICE], "matroska", "aac", RATE, default)
    (part,) = decode_parts(io.BytesIO(content), Limits(3.0, min_seconds=0.5))
    assert part.notes == ("track 2 of 2",)
    (part,) = decode_parts(io.BytesIO(content), Limits(3.0, min_seconds=9.0))
    assert part.notes == ("track 1 of 2",)


def test_one_track_is_not_noted() -> None:
    (part,) = decode_parts(io.BytesIO(encode_tracks([VOICE], "mp4", "aac", RATE)), Limits(3.0))
    assert part.notes == ()


def test_tracks_that_are_all_silent() -> None:
    content = encode_tracks([SILENT, SILENT], "matroska", "aac", RATE)
    (part,) = decode_parts(io.BytesIO(content), Limits(3.0))
    assert part.reason == "silent"
