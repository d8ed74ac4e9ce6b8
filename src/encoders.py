"""How much of the predictability does the encoder put there, whatever it was trained for?

Neighbouring frames share some of the audio that they are made from, and an encoder of random
weights already gives latents that can be predicted. The same measures for the codec's latents, for
those of an untrained encoder of the same shape, and for log-mel frames that share next to nothing.

    python src/encoders.py       (or: dvc repro encoders)

Reads data/manifest.parquet, data/audio/ and data/latents/.
Writes its metrics and plots/encoders.csv.
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
from mimi_dynamics.pipeline.errors import require
from mimi_dynamics.pipeline.files import remove, write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.encoders.study import measures, predictability, whitened

WORK = Path("runs/encoders")  # of what is encoded for this stage alone


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
        for name, found in gains.items():
            metrics[name] |= found if split == "test" else {split: found}
    write_stage_metrics("encoders", metrics)
    write_plots(metrics)


def untrained_latents(manifest: pd.DataFrame, params: Params) -> Latents:
    """Of the same clips, by an encoder of the codec's shape with its first weights."""
    codec = untrained_codec(params.codec, params.seed)
    encode_corpus(codec, manifest, WORK / "latents", params.encode, WORK / "shards")
    found = read_latents(WORK / "latents")
    remove(WORK)
    return found


def log_mel_latents(latents: Latents, manifest: pd.DataFrame) -> Latents:
    """Log-mel frames in place of latents, frame by frame of the same clips."""
    paths = manifest.set_index("clip_id")["path"].loc[latents.clip_ids]
    clips = tqdm(paths, "log-mel frames", unit="clip", disable=None)
    values = [log_mel_frames(read_clip(Path(path))) for path in clips]
    return replace(latents, values=np.concatenate(values).astype(np.float32))


def write_plots(metrics: dict[str, dict[str, object]]) -> None:
    """All curves as CSV."""
    rows = []
    for source, found in metrics.items():
        kept = found["variance_kept"]
        rows += [(source, "variance_kept", int(c[1:]), v, v, v) for c, v in kept.items()]
        curve = found["autocorrelation"]
        rows += [(source, "autocorrelation", int(k[1:]), v, v, v) for k, v in curve.items()]
        for what in ("gain_nats_per_dim", "dynamic_gain_nats_per_dim"):
            ends = (found[what + end] for end in ("", "_ci_low", "_ci_high"))
            rows.append((source, what, 0, *ends))
    table = pd.DataFrame(rows, columns=["source", "what", "at", "value", "low", "high"])
    write_table(Path("plots/encoders.csv"), table)


if __name__ == "__main__":
    run_stage(encoders)
