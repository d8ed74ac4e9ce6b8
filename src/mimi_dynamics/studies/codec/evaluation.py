"""What a codec preserves of speech: spectrum, pitch, and how much of its codebooks it uses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.log_mel import MEL_BANDS, heard_distance, heard_spectrum
from mimi_dynamics.codec.pitch import compare_pitch
from mimi_dynamics.encoding.frames import gated_frames
from mimi_dynamics.pipeline.conventions import choose_evenly

CLIPS_PER_SPLIT = 128
HELD_OUT = ("validation", "test", "test_voice")


def evaluate_codec(codec: Codec, manifest: pd.DataFrame, bins: int) -> dict[str, Any]:
    """Measure reconstruction on held-out clips, evenly spaced over each split.

    The metrics `log_mel_*` are distances in nepers, averaged over clips; the distances of `silence`
    and of the split's `mean_spectrum` show the scale. The metrics `pitch_*` are those of
    `compare_pitch`, averaged over the clips that have any. Neither counts gated frames.
    `codebooks` covers all splits and frames together.

    Args:
        codec: the codec to measure.
        manifest: table of clips with the columns `split`, `path` and `gated`, the intervals of
            digital silence.
        bins: number of codes in each codebook.
    """
    metrics: dict[str, Any] = {}
    codes = []
    for split in HELD_OUT:
        clips = manifest[manifest["split"] == split]
        clips = clips.iloc[choose_evenly(len(clips), CLIPS_PER_SPLIT)]
        rows = []
        audio = [torch.from_numpy(read_clip(Path(path))) for path in clips["path"]]
        gated = [
            gated_frames(intervals, len(clip))
            for intervals, clip in zip(clips["gated"], audio, strict=True)
        ]
        pairs = list(zip(audio, gated, strict=True))
        for pair in tqdm(pairs, f"evaluate {split}", unit="clip", disable=None):
            row, clip_codes = _evaluate_clip(codec, *pair)
            rows.append(row)
            codes.append(clip_codes)
        metrics[split] = {
            **pd.DataFrame(rows).mean().dropna().to_dict(),
            "log_mel_mean_spectrum": _distance_of_mean_spectrum(pairs),
            "clips": len(clips),
        }
    parameters = sum(parameter.numel() for parameter in codec.model.parameters())
    return {
        **metrics,
        "codebooks": codebook_usage(np.concatenate(codes), bins),
        "parameters": parameters,
    }


def _evaluate_clip(
    codec: Codec, audio: torch.Tensor, gated: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    with torch.no_grad():
        latents = codec.encode(audio[None])
        codes = codec.quantize(latents)
        decoded = {
            "unquantized": codec.decode(latents)[0, : len(audio)],
            "quantized": codec.decode_codes(codes)[0, : len(audio)],
            "silence": torch.zeros_like(audio),
        }
    row = {
        f"log_mel_{name}": heard_distance(result, audio, gated) for name, result in decoded.items()
    }
    for name in ("unquantized", "quantized"):
        for measure, value in compare_pitch(decoded[name], audio, gated).items():
            row[f"pitch_{measure}_{name}"] = value
    return row, codes[0].numpy()


def _distance_of_mean_spectrum(clips: Sequence[tuple[torch.Tensor, np.ndarray]]) -> float:
    """Give the log-mel distance of clips from the mean log-mel spectrum of all of them.

    Args:
        clips: the audio of each clip, and which of its frames are gated.
    """
    distances = []
    for window in MEL_BANDS:
        spectra = [heard_spectrum(*clip, window) for clip in clips]
        mean = torch.cat(spectra, 1).mean(1, keepdim=True)
        of_clips = [(s - mean).abs().mean().item() for s in spectra if s.numel()]
        distances.append(float(np.mean(of_clips)))
    return float(np.mean(distances))


def codebook_usage(codes: np.ndarray, bins: int) -> dict[str, dict[str, float]]:
    """Measure how much of its codebook each level of `codes` uses.

    Args:
        codes: (frames, codebooks) codes.
        bins: number of codes in each codebook.

    Returns:
        For each level, `used_share`, the share of its codes that occur, and `perplexity`, the
        number of equally likely codes that would have the same entropy.
    """
    usage = {}
    for level in range(codes.shape[1]):
        counts = np.bincount(codes[:, level], minlength=bins)
        shares = counts[counts > 0] / counts.sum()
        usage[f"level{level}"] = {
            "used_share": len(shares) / bins,
            "perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
        }
    return usage
