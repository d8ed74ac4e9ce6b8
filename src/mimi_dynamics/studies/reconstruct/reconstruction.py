"""Speech passed through the codec and through other codecs."""

import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import torch

from mimi_dynamics.codec.base import SAMPLE_RATE, Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.encoding.frames import gated_frames
from mimi_dynamics.pipeline.conventions import WAYS
from mimi_dynamics.quality.clips import bits_per_second, pass_through
from mimi_dynamics.speech.audio import decode_audio, to_pcm
from mimi_dynamics.studies.reconstruct.spectral import SpectralCodec, fit_spectral

OPUS_BITS_PER_S = 6000  # the lowest rate that libopus accepts


def rates(codec: Codec) -> dict[str, float]:
    """Give the bit rates, in bits per second, of the ways of decoding `codec` that have one."""
    known: dict[str, float] = {"opus": OPUS_BITS_PER_S}
    if codec.codebooks:
        known |= {"codec": bits_per_second(codec), "log_mel": bits_per_second(codec)}
    return known


def spectral_beside(
    codec: Codec, paths: Sequence[Path], silence: Sequence[np.ndarray], seed: int
) -> SpectralCodec:
    """Fit a codec without learning on train clips, with the size and bit rate of `codec`.

    Args:
        codec: the codec.
        paths: paths of the train clips.
        silence: intervals of digital silence in each, see `encoding.frames`.
        seed: seed of k-means.
    """
    clips = [read_clip(path) for path in paths]
    gated = [gated_frames(of, len(clip)) for of, clip in zip(silence, clips, strict=True)]
    return fit_spectral(clips, gated, codec.dim, codec.codebooks, codec.bins, seed)


def reconstruct_clip(
    codec: Codec, spectral: SpectralCodec, audio: np.ndarray
) -> dict[str, np.ndarray]:
    """Pass a clip through every codec, with and without quantisation.

    Args:
        codec: the codec.
        spectral: the codec without learning.
        audio: (samples,) the recording.

    Returns:
        (samples,) audio by way of decoding, without the recording itself, and without those that
        need codes if the codec has none.
    """
    with torch.no_grad():
        whole = codec.decode(codec.encode(torch.from_numpy(audio)[None]))[0].numpy()
    frames = spectral.encode(audio)
    decoded = {"codec_unquantized": whole, "log_mel_unquantized": spectral.decode(frames)}
    if codec.codebooks:
        decoded["codec"] = pass_through(codec, audio)
        decoded["log_mel"] = spectral.decode(spectral.quantize(frames))
    decoded["opus"] = through_opus(audio)
    return {way: decoded[way][: len(audio)].clip(-1, 1) for way in WAYS if way in decoded}


def through_opus(audio: np.ndarray) -> np.ndarray:
    """Pass (samples,) audio through Opus at its lowest constant rate, aligned with the input."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as media:
        stream = media.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = OPUS_BITS_PER_S
        stream.options = {"application": "voip", "vbr": "off"}
        frame = av.AudioFrame.from_ndarray(to_pcm(audio)[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packets in (stream.encode(frame), stream.encode(None)):
            media.mux(packets)
    file.seek(0)
    result = decode_audio(file, max_seconds=len(audio) / SAMPLE_RATE + 1)
    return np.pad(result, (0, max(0, len(audio) - len(result))))
