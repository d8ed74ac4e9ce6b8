"""How much of the predictability does the encoder put there, whatever it was trained for?

Neighbouring frames share some of the audio that they are made from, and an encoder of random
weights already gives latents that can be predicted. The same measures for the codec's latents, for
those of an untrained encoder of the same shape, and for log-mel frames that share next to nothing.

    python src/encoders.py       (or: dvc repro encoders)

Reads data/manifest.parquet, data/audio/ and data/latents/.
Writes metrics/encoders.json, plots/encoders.csv and plots/encoders.png.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from mimi_dynamics.codec_training import untrained_codec
from mimi_dynamics.encoder_figure import encoder_figure
from mimi_dynamics.encoder_measures import (
    autocorrelation,
    effective_dimension,
    loudness_share,
    variance_kept_by_leading,
)
from mimi_dynamics.encoding import encode_corpus, read_clip
from mimi_dynamics.estimation import FLOOR, Fit, evaluated_splits
from mimi_dynamics.figures import save_figure
from mimi_dynamics.files import remove, write_metrics, write_text
from mimi_dynamics.gains import Gains, clip_bootstrap, fit_many
from mimi_dynamics.latents import Latents, read_latents
from mimi_dynamics.normalizer import (
    fit_normalizer,
    frames_in_split,
    normalized_sequences,
    voiced_frames,
)
from mimi_dynamics.params import Params
from mimi_dynamics.sequences import Sequences
from mimi_dynamics.spectral import log_mel_frames
from mimi_dynamics.stage import run_stage
from mimi_dynamics.surrogates import shuffle

WORK = Path("runs/encoders")  # of what is encoded for this stage alone


def encoders(params: Params) -> None:
    """Run the stage."""
    manifest = pd.read_parquet("data/manifest.parquet")
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
    write_metrics(Path("metrics/encoders.json"), metrics)
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


def whitened(latents: Latents, params: Params) -> Sequences:
    """Leading principal components, as the stage normalize has them."""
    voiced = voiced_frames(latents, params.latents.voiced_range_db)
    fitted_on = latents.values[frames_in_split(latents, "train") & voiced]
    normalizer = fit_normalizer(fitted_on, params.latents.dim)
    return normalized_sequences(latents, normalizer, params.latents.voiced_range_db)


def measures(latents: Latents, data: Sequences, params: Params) -> dict[str, object]:
    """What needs no predictor."""
    voiced = voiced_frames(latents, params.latents.voiced_range_db)
    train, test = (frames_in_split(latents, split) for split in ("train", "test"))
    spoken = latents.values[train & voiced]
    test_data = data.select("test")
    return {
        "latent_dim": latents.values.shape[1],
        "effective_dim": effective_dimension(spoken),
        "variance_kept": {
            f"c{count:03d}": share
            for count, share in variance_kept_by_leading(spoken).items()
            if count <= latents.values.shape[1]
        },
        "loudness_r2": loudness_share(latents.values, latents.rms_db, train, test),
        "autocorrelation": {f"k{k}": autocorrelation(test_data, k) for k in params.horizons},
    }


def predictability(
    data: dict[str, Sequences], params: Params
) -> dict[str, dict[str, dict[str, object]]]:
    """Gains by split and source; the linear ones at all horizons."""
    generator = torch.Generator().manual_seed(params.seed)
    rows = data | {f"{name}_shuffled": shuffle(of, generator) for name, of in data.items()}
    settings = params.predict.model_copy(update={"width": params.encoders.width})
    shared = params.head, params.horizon, settings, params.seed
    base = Fit("", data["trained"], *shared, compute=params.compute)
    flows = {row: replace(base, row=row, sequences=of) for row, of in rows.items()}
    fits = fit_many(list(flows.values()))
    linear = {
        k: fit_many([replace(job, head=FLOOR, horizon=k) for job in flows.values()])
        for k in params.horizons
    }
    found = {}
    for split in evaluated_splits(base.sequences):
        draws = clip_bootstrap(base.sequences, split, settings.bootstrap_samples, params.seed)
        gains = Gains(base, rows, fits, split, draws)
        by_lead = {
            k: Gains(replace(base, horizon=k), rows, of, split, draws) for k, of in linear.items()
        }
        found[split] = {name: gain_metrics(name, gains, by_lead, params.head) for name in data}
    return found


def gain_metrics(
    name: str, gains: Gains, by_lead: dict[int, Gains], head: str
) -> dict[str, object]:
    """Gains of one source: all, what order in time adds, and the linear part of that by lead."""
    gain, shuffled = gains.gain(name, head), gains.gain(f"{name}_shuffled", head)
    linear = {
        f"k{k}": (of.gain(name, FLOOR) - of.gain(f"{name}_shuffled", FLOOR)).metrics(
            "linear_dynamic_gain_nats_per_dim"
        )
        for k, of in by_lead.items()
    }
    return (
        gain.metrics("gain_nats_per_dim")
        | (gain - shuffled).metrics("dynamic_gain_nats_per_dim")
        | linear
    )


def write_plots(metrics: dict[str, dict[str, object]]) -> None:
    """All curves as CSV and as a figure."""
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
    write_text(Path("plots/encoders.csv"), table.to_csv(index=False, float_format="%.6g"))
    save_figure(encoder_figure(table), Path("plots/encoders.png"))


if __name__ == "__main__":
    run_stage(encoders)
