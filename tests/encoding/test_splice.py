"""Spliced audio is the frames of a clip in another order, but for the fades where they meet."""

import numpy as np
import pytest

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.encoding.frames import silent_frames
from mimi_dynamics.encoding.splice import (
    FADE_SAMPLES,
    draw_order,
    fade_in,
    seed_of_clip,
    splice,
    splice_intervals,
)
from tests.harness.speechlike import speechlike

REST = 700  # samples of a frame that the clip ends within
AUDIO = speechlike(1.6, seed=0)[: 17 * FRAME_SIZE + REST]


def test_a_fade_takes_five_milliseconds() -> None:
    """From the end of what comes before, backwards; what follows the fade is as it was."""
    before, after = np.arange(500, dtype=np.float32), np.full((3, 200), -1000, np.float32)
    faded = fade_in(after, before)
    assert FADE_SAMPLES == 120
    assert faded.dtype == np.float32
    assert np.array_equal(faded[:, FADE_SAMPLES:], after[:, FADE_SAMPLES:])
    assert faded[:, 0] == pytest.approx(499, abs=10)
    assert faded[:, FADE_SAMPLES - 1] == pytest.approx(-1000, abs=10)
    weight = 60.5 / 120
    assert faded[:, 60] == pytest.approx(weight * -1000 + (1 - weight) * (499 - 60))
    assert (np.diff(faded[0, :FADE_SAMPLES]) < 0).all()
    assert (after == -1000).all()


def test_a_sound_shorter_than_the_fade_is_the_start_of_it() -> None:
    before, after = AUDIO[:500], AUDIO[1000:1200]
    assert np.array_equal(fade_in(after[:50], before), fade_in(after, before)[:50])


@pytest.mark.parametrize("block_frames", [1, 2, 5])
def test_an_order_is_of_whole_blocks(block_frames: int) -> None:
    """Of 17 frames the last block has fewer; the frame that the clip ends within stays last."""
    order = draw_order(len(AUDIO), block_frames, seed=3)
    assert sorted(order) == list(range(18))
    assert order[-1] == 17
    inside = order[:-1] % block_frames != 0
    assert np.array_equal(order[:-1][inside], order[np.flatnonzero(inside) - 1] + 1)
    assert not np.array_equal(order, np.arange(18))
    assert np.array_equal(order, draw_order(len(AUDIO), block_frames, seed=3))
    assert not np.array_equal(order, draw_order(len(AUDIO), block_frames, seed=4))


@pytest.mark.parametrize("samples", [1, FRAME_SIZE - 1, FRAME_SIZE, 3 * FRAME_SIZE])
def test_one_block_stays_as_it_is(samples: int) -> None:
    order = draw_order(samples, block_frames=3, seed=0)
    assert np.array_equal(order, np.arange(-(-samples // FRAME_SIZE)))
    assert np.array_equal(splice(AUDIO[:samples], order), AUDIO[:samples])


@pytest.mark.parametrize("block_frames", [1, 4])
def test_away_from_seams_the_samples_are_the_same(block_frames: int) -> None:
    """And at a seam they are, within 5 ms, no longer the same."""
    order = draw_order(len(AUDIO), block_frames, seed=1)
    spliced = splice(AUDIO, order)
    assert spliced.shape == AUDIO.shape
    assert spliced.dtype == np.float32
    for place, frame in enumerate(order):
        found = spliced[place * FRAME_SIZE : (place + 1) * FRAME_SIZE]
        source = AUDIO[frame * FRAME_SIZE : (frame + 1) * FRAME_SIZE]
        seam = place > 0 and order[place - 1] != frame - 1
        assert np.array_equal(found[FADE_SAMPLES:], source[FADE_SAMPLES:])
        assert np.array_equal(found[:FADE_SAMPLES], source[:FADE_SAMPLES]) != seam


def test_a_place_holds_its_frame_and_the_end_of_the_one_before() -> None:
    """So no sample of a frame is heard before its place, nor two places later."""
    order = draw_order(len(AUDIO), 1, seed=2)
    changed = AUDIO.copy()
    changed[order[6] * FRAME_SIZE : (order[6] + 1) * FRAME_SIZE] += 1
    moved = splice(changed, order) != splice(AUDIO, order)
    first, last = 6 * FRAME_SIZE, 7 * FRAME_SIZE
    assert not moved[:first].any()
    assert moved[first:last].all()
    assert moved[last : last + FADE_SAMPLES].all()
    assert not moved[last + FADE_SAMPLES :].any()


def test_silence_moves_with_its_frames() -> None:
    """It is silent in the same frames, in their new places."""
    intervals = np.array([100, 200, 2 * FRAME_SIZE - 50, 4 * FRAME_SIZE, 15 * FRAME_SIZE, 29000])
    order = draw_order(len(AUDIO), 1, seed=5)
    moved = splice_intervals(intervals, order)
    before = silent_frames(intervals, 18, before=0, after=0)
    assert np.array_equal(silent_frames(moved, 18, before=0, after=0), before[order])
    assert np.diff(moved.reshape(-1, 2)).sum() == np.diff(intervals.reshape(-1, 2)).sum()
    assert splice_intervals(intervals[:0], order).shape == (0,)


def test_silence_of_a_clip_in_its_own_order_stays() -> None:
    intervals = np.array([100, 200, FRAME_SIZE + 5, 2 * FRAME_SIZE])
    assert np.array_equal(splice_intervals(intervals, np.arange(18)), intervals)


def test_a_seed_is_of_a_clip_and_of_the_run() -> None:
    seeds = {seed_of_clip(seed, clip) for seed in (0, 1, 11) for clip in ("a", "b", "1 a")}
    assert len(seeds) == 9
    assert seed_of_clip(0, "a") == seed_of_clip(0, "a")
