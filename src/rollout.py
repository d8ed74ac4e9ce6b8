"""How long do forecasts that feed on their own samples stay worth anything?

Samples continuations of held-out clips frame by frame, and scores them by lead time against what
came, beside the predictors that jump to each lead at once, a linear model, and random frames.

    python src/rollout.py        (or: dvc repro rollout)

Reads data/latents/, models/normalizer.safetensors, models/horizons/ and the codec.
Writes metrics/rollout.json, plots/rollout.csv, plots/rollout.png, and data/rollout/: continuations
to listen to, and their spectrograms.
"""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mimi_dynamics.codec import load_codec
from mimi_dynamics.decoding import Decoder, make_decoder
from mimi_dynamics.energy import ForecastScores, score_splits, skill_horizon
from mimi_dynamics.errors import InputError
from mimi_dynamics.estimation import evaluated_splits
from mimi_dynamics.figures import FRAME_MS, save_figure
from mimi_dynamics.files import write_metrics, write_text
from mimi_dynamics.latents import read_latents
from mimi_dynamics.listening import Listening, write_sounds
from mimi_dynamics.normalizer import load_normalizer, normalized_sequences
from mimi_dynamics.params import Params
from mimi_dynamics.predictor import load_predictor
from mimi_dynamics.rollout_figures import rollout_figure
from mimi_dynamics.rollouts import (
    choose_starts,
    listening_starts,
    read_past,
    roll_out,
    seeded,
)
from mimi_dynamics.sequences import Sequences, make_batches
from mimi_dynamics.stage import run_stage
from mimi_dynamics.var import Var, fit_var

SOUNDS_TITLE = "Up to the line what was said; after it, what the predictor makes up"
FORECASTS = ("rollout", "direct", "var")
Scores = dict[str, dict[int, ForecastScores]]  # by split and lead


def rollout(params: Params) -> None:
    """Run the stage."""
    predictors = find_predictors(params.horizons)
    latents = read_latents(Path("data/latents"))
    normalizer = load_normalizer(Path("models/normalizer.safetensors"))
    real = normalized_sequences(latents, normalizer, params.latents.voiced_range_db)
    settings, splits = params.rollout, evaluated_splits(real)
    grid = settings.prompt_frames, settings.stride_frames, settings.starts
    starts = {
        split: choose_starts(real.select(split), *grid, max(params.horizons)) for split in splits
    }
    var = fit_linear(real, params)
    tables = score_splits(real, starts, predictors, var, settings.samples, params.seed)
    draws = params.predict.bootstrap_samples
    scores = {
        split: {k: ForecastScores(rows, draws, params.seed) for k, rows in table.groupby("lead")}
        for split, table in tables.items()
    }
    write_metrics(Path("metrics/rollout.json"), summarise(scores))
    write_plots(scores)

    names = latents.clip_ids[latents.splits == "test"]
    decode = make_decoder(load_codec(params.codec), normalizer)
    clips = listen(params, real.select("test"), names, predictors[1], decode)
    write_sounds(clips, SOUNDS_TITLE, Path("data/rollout"))


def find_predictors(horizons: list[int]) -> dict[int, Path]:
    """The file of the predictor of each lead.

    Raises:
        InputError: one is missing, or a single step is not among the horizons.
    """
    if 1 not in horizons:
        raise InputError(f"horizons = {horizons}: must have 1, the step of a rollout")
    paths = {k: Path(f"models/horizons/k{k}.safetensors") for k in horizons}
    for path in paths.values():
        if not path.exists():
            raise InputError(f"{path}: not there; run the stage horizon")
    return paths


def fit_linear(real: Sequences, params: Params) -> Var:
    """The ridge VAR of one frame ahead that is also the floor of `predict`."""
    size = params.predict.warmup_frames, params.predict.batch_frames
    train, validation = (
        make_batches(real.select(split), 1, *size) for split in ("train", "validation")
    )
    return fit_var(train, validation, params.predict.var_order)


def summarise(scores: Scores) -> dict[str, object]:
    """All of `metrics/rollout.json`."""
    by_split = {
        split: {f"k{k}": lead_metrics(at_lead) for k, at_lead in by_lead.items()}
        | {
            "skill_horizon_frames": {
                row: skill_horizon({k: at_lead.skill(row) for k, at_lead in by_lead.items()})
                for row in FORECASTS
            }
        }
        for split, by_lead in scores.items()
    }
    return by_split.pop("test") | by_split


def lead_metrics(scores: ForecastScores) -> dict[str, object]:
    """One lead of `metrics/rollout.json`."""
    energy, skill = {}, {}
    for row in (*FORECASTS, "climatology"):
        energy |= scores.mean(row).metrics(row)
    for row in FORECASTS:
        skill |= scores.skill(row).metrics(row)
    return {
        "energy_score": energy,
        "skill": skill,
        **(scores.mean("rollout") - scores.mean("direct")).metrics("gap"),
        **scores.mean("rollout", "survival").metrics("survival"),
        **scores.mean("rollout", "true_survival").metrics("true_survival"),
        "starts": scores.starts,
        "clips": scores.clips,
    }


def write_plots(scores: Scores) -> None:
    """The curves as CSV and as a figure."""
    rows = [
        {"split": split, "lead_ms": k * FRAME_MS, "row": row, **curves(at_lead, row)}
        for split, by_lead in scores.items()
        for k, at_lead in by_lead.items()
        for row in (*FORECASTS, "truth")
    ]
    table = pd.DataFrame(rows)
    write_text(Path("plots/rollout.csv"), table.to_csv(index=False, float_format="%.6g"))
    save_figure(rollout_figure(table[table["split"] == "test"]), Path("plots/rollout.png"))


def curves(scores: ForecastScores, row: str) -> dict[str, float]:
    """What is drawn of one row at one lead; truth has no skill, but it survives."""
    if row == "truth":
        metrics = scores.mean("rollout", "true_survival").metrics("survival")
    else:
        survival = scores.mean(row, "survival").metrics("survival")
        metrics = scores.skill(row).metrics("skill") | survival
    return {name.replace("_ci", ""): value for name, value in metrics.items()}


def listen(
    params: Params, test: Sequences, names: np.ndarray, predictor: Path, decode: Decoder
) -> list[Listening]:
    """Some clips: what was said, and what might have been."""
    settings, longest = params.rollout, max(params.horizons)
    starts = listening_starts(test, settings.listen_clips, settings.listen_prompt_frames, longest)
    model, _ = load_predictor(predictor)
    with seeded(zlib.crc32(f"{params.seed} listen".encode())):
        past = read_past(model, test, starts)
        paths = roll_out(model, past, np.full(len(starts), longest), settings.listen_samples)
        clips = []
        for number, (clip, known) in enumerate(zip(starts.clip, starts.past, strict=True)):
            end = test.lengths[: clip + 1].sum()
            frames = test.frames[end - test.lengths[clip] : end]
            sounds = {"recorded": decode(frames[: known + longest])}
            for sample, path in enumerate(paths[:, number], 1):
                sounds[f"sample {sample}"] = decode(torch.cat([frames[:known], path]))
            clips.append(Listening(names[clip], known * FRAME_MS / 1000, sounds))
    return clips


if __name__ == "__main__":
    run_stage(rollout)
