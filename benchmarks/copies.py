"""Copies of a recording as corpora hold them: other microphones, codecs, noise, pauses, speed.

All take and give float32 samples at 24 kHz. What is random comes from the generator they are given.
"""

import io

import av
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import resample

RATE = 24_000


def microphone(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another microphone in a small room.

    Its response is smooth and within 10 dB, the room's reverberation lasts 0.15 to 0.35 s and is 3
    to 10 dB weaker than the direct sound, noise is 30 to 45 dB below speech.
    """
    length = 1 << int(np.ceil(np.log2(len(sound) + RATE)))
    frequencies = np.clip(np.fft.rfftfreq(length, 1 / RATE), 80, 12_000)
    knots = np.log(np.geomspace(80, 12_000, 9))
    decibels = CubicSpline(knots, rng.uniform(-10, 10, 9))(np.log(frequencies))
    time = np.arange(int(0.4 * RATE)) / RATE
    room = rng.normal(size=time.size) * 10 ** (-3 * time / rng.uniform(0.15, 0.35))
    room[: RATE // 400] = 0
    room *= np.sqrt(10 ** (-rng.uniform(3, 10) / 10) / np.sum(room**2))
    room[0] = 1
    response = np.fft.rfft(room, length) * 10 ** (np.clip(decibels, -10, 10) / 20)
    heard = np.fft.irfft(np.fft.rfft(sound, length) * response, length)[: len(sound)]
    heard += rng.normal(size=heard.size) * speech_level(heard) * 10 ** (-rng.uniform(30, 45) / 20)
    return (heard / np.abs(heard).max() * rng.uniform(0.1, 0.9)).astype(np.float32)


def mp3(sound: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Through MP3 at 64 kb/s, with the delay that its coder adds."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=RATE)
        stream.bit_rate, stream.layout, stream.format = 64_000, "mono", "fltp"
        for start in range(0, len(sound), 1 << 15):
            part = np.ascontiguousarray(sound[None, start : start + (1 << 15)])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as written:
        return np.concatenate([frame.to_ndarray()[0] for frame in written.decode(audio=0)])


def noise(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise 40 dB below speech."""
    added = rng.normal(size=sound.size) * speech_level(sound) * 10 ** (-40 / 20)
    return (sound + added).astype(np.float32)


def gain(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From −20 to +6 dB, in 16 bits, which may clip."""
    louder = sound * 10 ** (rng.uniform(-20, 6) / 20)
    return (np.clip(np.rint(louder * 2**15), -(2**15), 2**15 - 1) / 2**15).astype(np.float32)


def leading_silence(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to a second of silence before."""
    return np.concatenate([_silence(rng.uniform(0.05, 1)), sound])


def pause_inside(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A pause of 0.2 to 1 s anywhere between 30 and 70 %, in the middle of a word too."""
    place = int(rng.uniform(0.3, 0.7) * len(sound))
    return np.concatenate([sound[:place], _silence(rng.uniform(0.2, 1)), sound[place:]])


def speed(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Played up to 10 % slower or faster, pitch and tempo together."""
    return resample(sound, int(len(sound) / rng.uniform(0.9, 1.1))).astype(np.float32)


def longer_prompt(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Between two parts that no other recording holds: the sound itself, backwards, slower."""
    other = resample(sound[::-1], int(len(sound) * rng.uniform(1.15, 1.25))).astype(np.float32)
    before, after = np.split(other, [int(rng.uniform(0.2, 0.8) * len(other))])
    pauses = [_silence(rng.uniform(0, 0.4)) for _ in range(2)]
    return np.concatenate([before, pauses[0], sound, pauses[1], after])


KINDS = {
    "two microphones": microphone,
    "MP3 at 64 kb/s": mp3,
    "noise at 40 dB": noise,
    "gain": gain,
    "leading silence": leading_silence,
    "a pause inside": pause_inside,
    "speed ± 10 %": speed,
    "part of a longer prompt": longer_prompt,
}


def speech_level(sound: np.ndarray) -> float:
    """Root mean square of the 20 ms within 30 dB of the loudest."""
    frame = RATE // 50
    power = (sound[: len(sound) // frame * frame].reshape(-1, frame) ** 2).mean(axis=1)
    return float(np.sqrt(power[power >= 1e-3 * power.max()].mean()))


def _silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.float32)
