"""How much predictability comes from the encoder itself, whatever it was trained for?

Neighbouring frames are computed from partly the same audio, so even an encoder with random weights
gives latents that can be predicted. This stage takes the same measures of three sources: the
codec's latents, latents of an untrained encoder of the same shape, and log-mel frames, whose
neighbours share next to no audio.

    python src/encoders.py       (or: dvc repro encoders)

Reads data/manifest.parquet, data/audio/ and data/latents/.
Writes metrics/encoders.json, metrics/detail/encoders.json and plots/encoders.csv.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.loading import untrained_codec
from mimi_dynamics.codec.log_mel import log_mel_frames
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.latents.store import Latents, read_latents
from mimi_dynamics.pipeline.files import remove, require, write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.encoders.study import measures, predictability, whitened

WORK = Path("runs/encoders")  # Holds the untrained latents, which only this stage needs.


def encoders(params: Params) -> None:
    """Run the stage."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    latents = read_latents(Path("data/latents"))
    sources = {
        "trained": latents,
        "untrained": untrained_latents(manifest, params),
        "log_mel": log_mel_latents(latents, manifest),
    }
    data = {name: whitened(of, params) for name, of in sources.items()}
    metrics: dict[str, dict[str, object]] = {
        name: measures(sources[name], data[name], params) for name in sources
    }
    for split, gains in predictability(data, params).items():
        for name, result in gains.items():
            metrics[name] |= result if split == "test" else {split: result}
    write_stage_metrics("encoders", metrics)
    write_plots(metrics)


def untrained_latents(manifest: pd.DataFrame, params: Params) -> Latents:
    """Encode the clips of `manifest` with an untrained encoder of the codec's shape.

    Its weights are those from which training would start.
    """
    codec = untrained_codec(params.codec, params.seed)
    encode_corpus(codec, manifest, WORK / "latents", params.encode, WORK / "shards")
    latents = read_latents(WORK / "latents")
    remove(WORK)
    return latents


def log_mel_latents(latents: Latents, manifest: pd.DataFrame) -> Latents:
    """Give `latents` with values replaced by the log-mel frames of the same clips.

    The new values are (frames, 600) float32; see `log_mel_frames`.
    """
    paths = manifest.set_index("clip_id")["path"].loc[latents.clip_ids]
    clips = tqdm(paths, "log-mel frames", unit="clip", disable=None)
    values = [log_mel_frames(read_clip(Path(path))) for path in clips]
    return replace(latents, values=np.concatenate(values).astype(np.float32))


def write_plots(metrics: dict[str, dict[str, object]]) -> None:
    """Write all curves as one CSV file.

    Args:
        metrics: the metrics of each source, by name of the source.
    """
    rows = []
    for source, result in metrics.items():
        kept = result["variance_kept"]
        rows += [(source, "variance_kept", int(c[1:]), v, v, v) for c, v in kept.items()]
        curve = result["autocorrelation"]
        rows += [(source, "autocorrelation", int(k[1:]), v, v, v) for k, v in curve.items()]
        for what in ("gain_nats_per_dim", "dynamic_gain_nats_per_dim"):
            ends = (result[what + end] for end in ("", "_ci_low", "_ci_high"))
            rows.append((source, what, 0, *ends))
    table = pd.DataFrame(rows, columns=["source", "what", "at", "value", "low", "high"])
    write_table(Path("plots/encoders.csv"), table)


if __name__ == "__main__":
    run_stage(encoders)
