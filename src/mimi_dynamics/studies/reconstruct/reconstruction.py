"""Speech passed through the codec and through other codecs, measured clip by clip."""

import io
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import av
import numpy as np
import pandas as pd
import torch

from mimi_dynamics.codec.base import FRAME_RATE, SAMPLE_RATE, Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.encoding.frames import gated_frames
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.pipeline.params import CodecParams
from mimi_dynamics.speech.audio import decode_audio, to_pcm
from mimi_dynamics.studies.reconstruct.recogniser import transcribe, word_errors
from mimi_dynamics.studies.reconstruct.spectral import SpectralCodec, fit_spectral
from mimi_dynamics.studies.reconstruct.speech_quality import speech_quality

OPUS_BITS_PER_S = 6000  # the lowest rate that libopus accepts
CLIPS_PER_JOB = 4


def bits_per_second(codec: Codec) -> float:
    """Give the bit rate of the codes that `quantize` gives, in bits per second."""
    return codec.codebooks * float(np.log2(codec.bins)) * FRAME_RATE


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
    """Decode a clip in every way.

    Args:
        codec: the codec.
        spectral: the codec without learning.
        audio: (samples,) the recording.

    Returns:
        (samples,) audio by way of decoding, without the recording itself.
    """
    with torch.no_grad():
        latents = codec.encode(torch.from_numpy(audio)[None])
        whole = codec.decode(latents)[0].numpy()
        codes = codec.decode_codes(codec.quantize(latents))[0].numpy()
    frames = spectral.encode(audio)
    decoded = {
        "codec_unquantized": whole,
        "codec": codes,
        "log_mel_unquantized": spectral.decode(frames),
        "log_mel": spectral.decode(spectral.quantize(frames)),
        "opus": through_opus(audio),
    }
    return {name: result[: len(audio)].clip(-1, 1) for name, result in decoded.items()}


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


def measure_clips(
    codec: CodecParams,
    spectral: SpectralCodec,
    paths: Sequence[Path],
    silence: Sequence[np.ndarray],
    *,
    english: bool,
) -> pd.DataFrame:
    """Measure every clip in every way of decoding.

    Args:
        codec: settings of the codec, which every process loads for itself.
        spectral: the codec without learning.
        paths: paths of the clips.
        silence: intervals of digital silence in each, see `encoding.frames`; what is gated by them
            counts in no measure but the number of words.
        english: whether to run a recogniser, which gives `word_errors` and the number of `words`
            that it hears in the recording; otherwise `speech_quality` is measured.

    Returns:
        One row for each clip and way of decoding, with `clip`, `way` and the measures. Clips in
        which there is nothing to measure have none.
    """
    measure = partial(_measure, codec.model_dump_json(), spectral, english)
    clips = list(zip(paths, silence, strict=True))
    jobs = [
        partial(measure, clips[start : start + CLIPS_PER_JOB])
        for start in range(0, len(paths), CLIPS_PER_JOB)
    ]
    tables = run_parallel(jobs, "listen" if english else "measure")
    table = pd.concat(tables, ignore_index=True)
    number = {str(path): clip for clip, path in enumerate(paths)}
    return table.assign(clip=table["path"].map(number)).drop(columns="path")


def _measure(
    codec_params: str,
    spectral: SpectralCodec,
    english: bool,
    clips: Sequence[tuple[Path, np.ndarray]],
) -> pd.DataFrame:
    rows = []
    codec = _loaded(codec_params)
    for path, silence in clips:
        audio = read_clip(path)
        gated = gated_frames(silence, len(audio))
        heard = transcribe(audio) if english else ""
        if gated.all() or (english and not heard):
            continue  # without words there is nothing to get wrong
        decoded = reconstruct_clip(codec, spectral, audio)
        for way, result in decoded.items():
            measured = (
                {"word_errors": word_errors(transcribe(result), heard), "words": len(heard.split())}
                if english
                else speech_quality(result, audio, gated)
            )
            rows.append({"path": str(path), "way": way, **measured})
    return pd.DataFrame(rows, columns=None if rows else ["path", "way", "word_errors", "words"])


@cache
def _loaded(params: str) -> Codec:
    return load_codec(CodecParams.model_validate_json(params))
