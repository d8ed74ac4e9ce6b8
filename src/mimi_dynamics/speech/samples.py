"""The samples of a decoded frame, as numbers."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import av
import numpy as np

TYPES = {
    "u8": np.uint8, "s16": np.int16, "s32": np.int32, "s64": np.int64,
    "flt": np.float32, "dbl": np.float64,
}  # fmt: skip
LEAST_POWER = 1e-20
NOTHING = 10 * np.log10(LEAST_POWER)  # dB of full scale
FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63, "flt": 1, "dbl": 1}


def to_float(frame_values: np.ndarray, form: str) -> np.ndarray:
    """Scale decoded values to float32 of the same shape, where full scale is 1.

    Args:
        frame_values: Of any shape.
        form: FFmpeg's name of the sample format.
    """
    name = form.removesuffix("p")
    if name == "flt":
        return frame_values
    if name == "u8":
        frame_values = frame_values.astype(np.int16) - FULL_SCALE["u8"]
    with np.errstate(over="ignore", invalid="ignore"):  # `audio` refuses such values later.
        return frame_values.astype(np.float32) * np.float32(1 / FULL_SCALE[name])


def values_of(frame: av.AudioFrame) -> np.ndarray:
    """Give the values of a frame as they are, [channels, samples].

    It does what `frame.to_ndarray` does in a third of the time, which for short frames is much of
    the time that it takes to read a recording.
    """
    dtype, samples = TYPES[frame.format.name.removesuffix("p")], frame.samples
    if frame.format.is_planar:
        channels = [np.frombuffer(memoryview(plane), dtype, samples) for plane in frame.planes]
        return np.concatenate(channels).reshape(-1, samples)
    count = samples * frame.layout.nb_channels
    values = np.frombuffer(memoryview(frame.planes[0]), dtype, count)
    return values.reshape(samples, -1).T.copy()


def float_values(frame: av.AudioFrame) -> np.ndarray:
    """Give the values of a frame as float32, [channels, samples], where full scale is 1."""
    return to_float(values_of(frame), frame.format.name)


def runs_of(frames: Sequence[av.AudioFrame]) -> Iterator[np.ndarray]:
    """Yield the [frames, channels, samples] of frames in a row that have one shape, as float32."""

    def shape(frame: av.AudioFrame) -> tuple[str, int, int]:
        return frame.format.name, frame.samples, frame.layout.nb_channels

    for (form, *_), run in groupby(frames, shape):
        yield to_float(np.stack([*map(values_of, run)]), form)


def first_samples(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    """Give a frame of the first samples of a frame."""
    width = 1 if frame.format.is_planar else frame.layout.nb_channels
    values = frame.to_ndarray()[:, : samples * width].copy()
    first = av.AudioFrame.from_ndarray(values, frame.format.name, frame.layout.name)
    first.sample_rate, first.time_base, first.pts = frame.sample_rate, frame.time_base, frame.pts
    return first


def levels(sound: np.ndarray) -> np.ndarray:
    """Give the [...] levels of the loudest channel of [..., channels, samples] in dB of full scale.

    Nothing at all is `NOTHING`. Values beyond full scale are as loud as that, and so are those that
    are not finite, of which `audio` makes an error later.
    """
    if not sound.size:
        return np.full(sound.shape[:-2], NOTHING)
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.einsum("...t,...t->...", sound, sound) / sound.shape[-1]
    return 10 * np.log10(np.fmin(power.max(axis=-1), 1.0) + LEAST_POWER)
