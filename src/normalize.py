"""Fit principal components to the latents of train speech, and measure what the omitted ones cost.

    python src/normalize.py      (or: dvc repro normalize)

Reads data/manifest.parquet, data/audio/, data/latents/ and the codec.
Writes models/normalizer.safetensors and metrics/detail/normalize.json.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.codec.log_mel import heard_distance
from mimi_dynamics.codec.threads import in_threads
from mimi_dynamics.latents.lengths import all_gated, reach_of
from mimi_dynamics.latents.loading import LATENTS, on_disk
from mimi_dynamics.latents.normalizer import (
    Normalizer,
    fit_normalizer,
    frames_in_split,
    some_frames,
    voiced_frames,
)
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.own_latents.checking import beyond_rounding
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import has_decoder, say_without

MANIFEST = Path("data/manifest.parquet")
LISTENED_CLIPS = 64  # They are evenly spaced over the test split: four minutes of speech.


def normalize(params: Params) -> None:
    """Run the stage.

    Raises:
        InputError: no frame of test counts, or components have no variance beyond rounding.
    """
    latents = on_disk(LATENTS)
    voiced = voiced_frames(latents, params.latents.voiced_range_db)
    train, test = (frames_in_split(latents, split) & ~latents.gated for split in ("train", "test"))
    if not test.any():
        raise all_gated("test")
    fitted_on = latents.values[some_frames(train & voiced)]
    normalizer = fit_normalizer(fitted_on, params.latents.dim)
    if not has_decoder(latents.info):
        check_variance(normalizer, params.latents.dim)
    normalizer.save(Path("models/normalizer.safetensors"))
    manifest = pd.read_parquet(require(MANIFEST, "ingest")).set_index("clip_id")
    metrics = {
        "latent_dim": latents.values.shape[1],
        "dim": params.latents.dim,
        "variance_kept": {
            "train": normalizer.variance_kept(fitted_on),
            "test": normalizer.variance_kept(latents.values[some_frames(test & voiced)]),
        },
        "voiced_share": {"train": voiced[train].mean(), "test": voiced[test].mean()},
    }
    if has_decoder(latents.info):
        codec = load_codec(params.codec)
        metrics["log_mel_distance"] = truncation_cost(codec, normalizer, latents, manifest)
    else:
        say_without("normalize", "decoder", "what the omitted components cost is not measured")
    write_stage_metrics("normalize", metrics)


def check_variance(normalizer: Normalizer, dim: int) -> None:
    """Check that no component is only rounding, which whitening would make as large as the others.

    Raises:
        InputError: one is. The message says how many there are that are not.
    """
    varying = int(beyond_rounding(normalizer, "float32").sum())
    if varying < dim:
        raise InputError(
            f"latents.dim = {dim}: must be at most {varying}; further components of these latents "
            "have no variance beyond rounding"
        )


def truncation_cost(
    codec: Codec, normalizer: Normalizer, latents: Latents, manifest: pd.DataFrame
) -> dict[str, float]:
    """Measure on test clips how much sound is lost when only the leading components are decoded.

    The sound of gated frames does not count.

    Returns:
        Mean log-mel distances in nepers between the original audio, the audio decoded from whole
        latents, and the audio decoded from latents cut to the normaliser's components.
    """
    ends = np.cumsum(latents.lengths)
    heard = reach_of(latents.gated, latents.lengths) > 0
    clips = np.flatnonzero((latents.splits == "test") & heard)
    clips = clips[choose_evenly(len(clips), LISTENED_CLIPS)]
    parts = [slice(ends[clip] - latents.lengths[clip], ends[clip]) for clip in clips]
    jobs = [
        TruncatedClip(
            Path(manifest.loc[latents.clip_ids[clip], "path"]),
            latents.values[part],
            latents.gated[part],
        )
        for clip, part in zip(clips, parts, strict=True)
    ]
    distances = in_threads(partial(distances_of, codec, normalizer), jobs, "decode")
    return pd.DataFrame(distances).mean().to_dict()


class TruncatedClip(NamedTuple):
    """A clip to be decoded from all and from the leading components.

    Attributes:
        path: of the recording.
        latents: (frames, latent dim) as encoded.
        gated: (frames,) whose sound does not count.
    """

    path: Path
    latents: np.ndarray
    gated: np.ndarray


@torch.no_grad()
def distances_of(codec: Codec, normalizer: Normalizer, clip: TruncatedClip) -> dict[str, float]:
    """Give the distances of `truncation_cost` for one clip."""
    kept = normalizer.restore(normalizer.normalize(clip.latents))
    decoded, truncated = codec.decode(torch.from_numpy(np.stack([clip.latents, kept])))
    original = torch.from_numpy(read_clip(clip.path))
    pairs = {
        "whole_to_original": (decoded, original),
        "truncated_to_original": (truncated, original),
        "truncated_to_whole": (truncated, decoded),
    }
    samples = len(original)
    return {
        name: heard_distance(a[:samples], b[:samples], clip.gated) for name, (a, b) in pairs.items()
    }


if __name__ == "__main__":
    run_stage(normalize)
