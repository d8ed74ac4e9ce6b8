"""Holes between two recordings are told from pauses, however quiet."""

import numpy as np
import pytest

from mimi_dynamics.speech.holes import BLOCK, Holes, block_levels

RATE, PACKET = 24_000, 1_024
ROOM, SPEECH = 0.001, 0.1  # standard deviations: −60 and −20 dB
SECONDS = 6.0


def recording(seed: int, room: float = ROOM) -> np.ndarray:
    """Speech and pauses by turns of 0.3 s, in the noise of a room."""
    random = np.random.default_rng(seed)
    sound = room * random.standard_normal(int(SECONDS * RATE))
    speaks = np.arange(sound.size) // (3 * RATE // 10) % 2 == 0
    return sound + SPEECH * speaks * random.standard_normal(sound.size)


def told(sound: np.ndarray, samples: int = PACKET, together: int = 30) -> list[int]:
    """Give the packets before which a hole ends."""
    holes, packets = Holes(samples), sound[: sound.size // PACKET * PACKET].reshape(-1, 1, PACKET)
    levels, found, start = block_levels(packets), [], 0
    while start < len(levels):
        some = levels[start : start + together]
        end = holes.first_end(some, PACKET)
        if end is not None:
            found.append(start + end)
            holes.begin()
        start += len(some) if end is None else end + 1
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("room", [ROOM, ROOM / 10, ROOM * 3])
def test_a_recording_has_no_holes(seed: int, room: float) -> None:
    assert not told(recording(seed, room))


@pytest.mark.parametrize("milliseconds", [8, 20, 40])
@pytest.mark.parametrize("together", [1, 7, 200])
def test_a_hole_is_told_where_it_ends(milliseconds: int, together: int) -> None:
    """However many packets are looked at in one go."""
    sound = recording(0)
    packet = 110
    sound[packet * PACKET - milliseconds * RATE // 1000 : packet * PACKET] *= 0.03
    assert told(sound, together=together) == [packet]


def test_a_hole_at_the_start_of_a_packet_is_told_there_if_it_is_of_the_time_before() -> None:
    sound = recording(0)
    packet = 110
    sound[packet * PACKET : packet * PACKET + 4 * BLOCK] *= 0.03
    assert told(sound, samples=4 * BLOCK) == [packet]
    sound = recording(0)
    sound[packet * PACKET + 8 * BLOCK : packet * PACKET + 12 * BLOCK] *= 0.03
    assert not told(sound, samples=4 * BLOCK)


@pytest.mark.parametrize(("packets", "is_told"), [(1, True), (3, True), (4, False)])
def test_a_hole_lasts_no_longer_than_packets_do(packets: int, is_told: bool) -> None:
    sound = recording(0)
    sound[106 * PACKET : (106 + packets) * PACKET] *= 0.03
    assert told(sound) == ([106 + packets] if is_told else [])


@pytest.mark.parametrize("quieter", [0.1, 0.0])
def test_a_pause_that_is_quieter_than_any_before_is_no_hole(quieter: float) -> None:
    sound = recording(0)
    sound[100 * PACKET : 110 * PACKET] *= quieter
    assert not told(sound)


def test_before_a_pause_was_heard_nothing_is_told() -> None:
    random = np.random.default_rng(0)
    sound = SPEECH * random.standard_normal(int(SECONDS * RATE))
    sound[50 * PACKET - 400 : 50 * PACKET] *= 0.01
    assert not told(sound)


def test_digital_silence_is_no_room() -> None:
    sound = recording(0, room=0.0)
    sound[50 * PACKET : 50 * PACKET + 200] = 1e-6
    assert not told(sound)


@pytest.mark.parametrize("forgets", [True, False])
def test_after_a_new_beginning_all_is_forgotten(forgets: bool) -> None:
    sound, holes = recording(0), Holes(PACKET)
    sound[109 * PACKET : 110 * PACKET] *= 0.03
    levels = block_levels(sound[: sound.size // PACKET * PACKET].reshape(-1, 1, PACKET))
    assert holes.first_end(levels[:105], PACKET) is None
    if forgets:
        holes.begin()
    assert holes.first_end(levels[105:112], PACKET) == (None if forgets else 5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_values_that_are_no_sound_end_nothing(value: float) -> None:
    sound = recording(0).astype(np.float32)
    sound[100] = sound[110 * PACKET] = value
    assert not told(sound)


def test_the_level_is_that_of_the_loudest_channel() -> None:
    quiet = np.full((1, 3 * BLOCK + 5), 0.01)
    levels = block_levels(np.concatenate([quiet, 10 * quiet]))
    np.testing.assert_allclose(levels, [-20, -20, -20], atol=1e-6)
