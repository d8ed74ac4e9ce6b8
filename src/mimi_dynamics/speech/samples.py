"""The samples of a decoded frame, as numbers."""

import av
import numpy as np

FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "s64": 2**63, "flt": 1, "dbl": 1}


def to_float(frame_values: np.ndarray, form: str) -> np.ndarray:
    """Scale decoded values to float32 of the same shape, where full scale is 1.

    Args:
        frame_values: Of any shape.
        form: FFmpeg's name of the sample format.
    """
    name = form.removesuffix("p")
    if name == "u8":
        frame_values = frame_values.astype(np.int16) - FULL_SCALE["u8"]
    with np.errstate(over="ignore", invalid="ignore"):  # `audio` refuses such values later.
        return frame_values.astype(np.float32) * np.float32(1 / FULL_SCALE[name])


def values_of(frame: av.AudioFrame) -> np.ndarray:
    """Give the values of a frame as they are, [channels, samples]."""
    values = frame.to_ndarray()
    return values if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels).T


def first_samples(frame: av.AudioFrame, samples: int) -> av.AudioFrame:
    """Give a frame of the first samples of a frame."""
    width = 1 if frame.format.is_planar else frame.layout.nb_channels
    values = frame.to_ndarray()[:, : samples * width].copy()
    first = av.AudioFrame.from_ndarray(values, frame.format.name, frame.layout.name)
    first.sample_rate, first.time_base, first.pts = frame.sample_rate, frame.time_base, frame.pts
    return first


def decibels(power: np.ndarray | float) -> np.ndarray:
    """Give levels in dB of full scale, −200 for nothing at all."""
    return 10 * np.log10(np.asarray(power) + 1e-20)
