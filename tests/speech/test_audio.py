"""Decoding and resampling: known answers on tones, and a reason for every file that is no good."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mimi_dynamics.speech import audio
from mimi_dynamics.speech.audio import AudioError, read_audio, resample, to_pcm, write_flac
from tests.harness.audio_files import tone, write_sound


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_frequency_level_and_length(rate: int) -> None:
    sound = resample(tone(1.037, 440, rate), rate)
    assert abs(sound.size - tone(1.037, 440, rate).size * 24_000 / rate) <= 1
    middle = slice(2_000, -2_000)  # the filter sees less than its length at both ends
    expected = tone(2, 440)[: sound.size]
    np.testing.assert_allclose(sound[middle], expected[middle], atol=1e-4)


def test_what_24_khz_cannot_hold_is_removed_not_folded() -> None:
    sound = resample(tone(1.0, 15_000, 48_000), 48_000)
    assert np.abs(sound[1_000:-1_000]).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(400, 4_000), rate=st.integers(1_000, 200_000))
def test_any_rate_gives_the_right_length(samples: int, rate: int) -> None:
    sound = resample(np.full(samples, 0.1, np.float32), rate)
    if sound.size:
        assert abs(sound.size - samples * 24_000 / rate) <= 1
    else:
        assert samples * 24_000 / rate < 64


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au"])
def test_formats_are_recognised_by_content(tmp_path: Path, name: str) -> None:
    path = write_sound(tmp_path / name, tone(1.0, 440, 24_000), 24_000)
    sound = read_audio(path.rename(tmp_path / "no ending"), max_seconds=2)
    spectrum = np.abs(np.fft.rfft(sound[:24_000]))
    assert spectrum.argmax() == 440
    assert sound.size == pytest.approx(24_000, abs=2_400)  # MP3 pads


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_has_the_same_scale(tmp_path: Path, subtype: str) -> None:
    path = write_sound(tmp_path / "a.wav", tone(0.1, 440), subtype=subtype)
    np.testing.assert_allclose(read_audio(path, 1), tone(0.1, 440), atol=0.01)


@pytest.mark.parametrize("channels", [2, 8, 16])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    tones = np.stack([tone(0.1, 200 + 100 * n, peak=0.8) for n in range(channels)], axis=1)
    mono = read_audio(write_sound(tmp_path / "a.wav", tones), 1)
    np.testing.assert_allclose(mono, tones.mean(axis=1), atol=1e-4)


def test_beyond_full_scale_is_scaled_not_cut(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", 100 * tone(0.1, 440), subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, 1), 2 * tone(0.1, 440), atol=1e-3)


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as error:
        read_audio(path, max_seconds=1)
    return str(error.value)


def test_a_file_without_bytes_or_without_samples_is_empty(tmp_path: Path) -> None:
    (tmp_path / "none.wav").touch()
    write_sound(tmp_path / "header.wav", np.zeros(0, np.float32))
    assert refusal(tmp_path / "none.wav") == "empty"
    assert refusal(tmp_path / "header.wav") == "empty"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_one_value_that_is_not_finite_is_found(tmp_path: Path, value: float) -> None:
    sound = tone(0.5, 440).astype(np.float64)
    sound[5_000] = value
    assert refusal(write_sound(tmp_path / "a.wav", sound, subtype="DOUBLE")) == "not_finite"


@pytest.mark.parametrize("rate", [4, 999, 1_000_000])
def test_absurd_rates_are_refused(tmp_path: Path, rate: int) -> None:
    assert refusal(write_sound(tmp_path / "a.wav", tone(0.1, 440), rate)) == "bad_rate"


def test_too_long_is_known_without_decoding_the_rest(tmp_path: Path) -> None:
    assert refusal(write_sound(tmp_path / "a.wav", tone(1.001, 440))) == "too_long"
    read_audio(write_sound(tmp_path / "b.wav", tone(1.0, 440)), max_seconds=1)


@pytest.mark.parametrize("name", ["a.mp3", "a.flac"])
def test_a_file_in_which_ffmpeg_searches_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Four gigabytes of zeros after a good beginning, for which it took minutes."""
    monkeypatch.setattr(audio, "MAX_WORK_SECONDS", 0.3)
    path = write_sound(tmp_path / name, tone(0.2, 440))
    os.truncate(path, 4_000_000_000)
    start = time.thread_time()
    with pytest.raises(AudioError, match="too_slow"):
        read_audio(path, max_seconds=0.25)
    assert time.thread_time() - start < 2


def test_noise_and_text_called_wav_are_undecodable(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for index, size in enumerate([1, 3, 44, 1_000, 100_000]):
        path = tmp_path / f"{index}.wav"
        path.write_bytes(random.bytes(size))
        assert refusal(path) in {"undecodable", "empty"}
    (tmp_path / "text.wav").write_text("not a sound")
    assert refusal(tmp_path / "text.wav") == "undecodable"


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {}\n",
    ],
)
@pytest.mark.parametrize("target", ["real.wav", "{folder}/real.wav", "file:{folder}/real.wav"])
def test_a_playlist_opens_no_other_file(tmp_path: Path, playlist: str, target: str) -> None:
    write_sound(tmp_path / "real.wav", tone(0.5, 440))
    path = tmp_path / "list.m3u8"
    path.write_text(playlist.format(target.format(folder=tmp_path)))
    assert refusal(path) in {"undecodable", "empty"}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["wav", "flac", "ogg", "mp3", "aiff"]))
def test_damaged_files_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, seed: int, name: str
) -> None:
    random = np.random.default_rng(seed)
    path = write_sound(tmp_path_factory.mktemp("damaged") / f"a.{name}", tone(0.2, 440))
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    places = random.integers(0, min(content.size, random.choice([64, 10**9])), 8)
    content[places] = random.integers(0, 256, 8)
    path.write_bytes(content.tobytes()[: random.integers(1, content.size + 1)])
    try:
        sound = read_audio(path, max_seconds=1)
    except AudioError:
        return
    assert np.isfinite(sound).all()
    assert np.abs(sound).max(initial=0) <= 1


def test_flac_keeps_every_sample_and_the_same_bytes(tmp_path: Path) -> None:
    pcm = to_pcm(np.array([-1, -0.5, 0, 1 / 65536, 0.5, 1], np.float32).repeat(100))
    assert set(pcm) == {-32768, -16384, 0, 16384, 32767}
    for name in ("a.flac", "b.flac"):
        write_flac(tmp_path / name, pcm)
    read, rate = soundfile.read(tmp_path / "a.flac", dtype="int16")
    assert rate == 24_000
    assert (read == pcm).all()
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
