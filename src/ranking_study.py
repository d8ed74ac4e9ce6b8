"""Does a measure of minutes rank latents as a fixed generator would?

Makes sets of latents of the same speech: of several codecs, with fewer components, with noise,
smoothed, and at half the rate. Trains the same small generator on each, and judges what it
generates by what is heard of it. Beside that, measures each set as bet 1 does, and by what others
use: variance of the velocity, R², autocorrelation, error of reconstruction. Then ranks the sets by
each.

    python src/ranking_study.py

It takes about nine minutes of a core for each set, and `dvc repro` does not run it. It keeps what
it has done in runs/ranking_study/, where a run that was stopped goes on; after a change of the code
that trains or measures, remove that folder.
Reads data/manifest.parquet, data/audio/, data/latents/ and the codecs.
Writes metrics/detail/ranking_study.json, plots/ranking_study.csv and plots/ranking_sets.csv.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import read_json, require, write_metrics, write_table
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import bet_settings, folder_of, origin_of_run, write_study
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors
from mimi_dynamics.studies.codec_row.records import LYRA
from mimi_dynamics.studies.codec_row.subjects import weights_of
from mimi_dynamics.studies.ranking.correlations import between_trainings, rank
from mimi_dynamics.studies.ranking.generating import floor, heard_of, outcomes
from mimi_dynamics.studies.ranking.measures import (
    gains,
    linear_measures,
    reconstruction_error,
    velocity_variances,
)
from mimi_dynamics.studies.ranking.places import Places, choose_places
from mimi_dynamics.studies.ranking.sets import RankedSet, encode_row, make_set, spec_of
from mimi_dynamics.studies.ranking.tables import ranks_table, sets_table

# Sections of params.yaml on which the results depend.
SECTIONS = ("ranking_study", "calm", "head", "latents", "predict", "seed")
KEPT = Path("runs/ranking_study")


def ranking_study(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    latents, _, data = load(params)
    origin = origin_of_run(latents.info["weights_sha256"], manifest)
    settings = bet_settings(params, SECTIONS)
    rows = {name: spec_of(name).row for name in params.ranking_study.sets}
    shared = origin | apart_from_sets(settings)
    folders = {name: folder_of(KEPT, shared | row_facts(row, params)) for name, row in rows.items()}
    places = choose_places(latents, data, manifest, params.ranking_study.starts)
    for row in dict.fromkeys(rows.values()):
        own = [name for name, of in rows.items() if of == row]
        left = [
            name for name in own if not all(of.exists() for of in paths_of(name, folders[name]))
        ]
        if left:
            most = max(spec_of(name).components for name in left)
            encoded = encode_row(row, manifest, params, most, KEPT / "work")
            if not np.array_equal(encoded.latents.clip_ids, latents.clip_ids):
                raise InputError("data/latents: not of the clips of data/manifest.parquet")
            for name in left:
                keep(make_set(name, encoded, params.seed), places, params, folders[name])
    found = {name: judged(name, places, params, folder) for name, folder in folders.items()}
    results = {
        "set": found,
        "recorded": floor(places, params),
        "rank_correlation": rank(found),
        "between_trainings": between_trainings(found),
    }
    write_study("ranking_study", results, settings, origin)
    write_table(Path("plots/ranking_study.csv"), ranks_table(found))
    write_table(Path("plots/ranking_sets.csv"), sets_table(found))


def apart_from_sets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings on which a set depends: which others there are is none of them."""
    study = {key: value for key, value in settings["ranking_study"].items() if key != "sets"}
    return {**settings, "ranking_study": study}


def row_facts(row: str, params: Params) -> dict[str, Any]:
    """Give what the latents of a row depend on: weights, and of Lyra how frames make a step."""
    lyra = {"frames_per_step": params.codec.lyra.frames_per_step} if row == LYRA else {}
    return {"row": row, "row_weights_sha256": weights_of(row, params), **lyra}


def paths_of(name: str, folder: Path) -> tuple[Path, Path]:
    """Give where is kept what is heard of a set, and what was measured of it."""
    return folder / f"{name}.heard.safetensors", folder / f"{name}.measured.json"


def keep(of: RankedSet, places: Places, params: Params, folder: Path) -> None:
    """Train on a set and measure it, and keep what is heard and measured, unless it is kept.

    Args:
        of: the set.
        places: where it is continued.
        params: all settings.
        folder: where trainings and results are kept.
    """
    heard, measured = paths_of(of.name, folder)
    if not heard.exists():
        continued, decoded = heard_of(of, places, params, folder)
        tensors = {"continued": torch.from_numpy(continued), "decoded": torch.from_numpy(decoded)}
        write_tensors(heard, tensors, {})
    if not measured.exists():
        found = velocity_variances(of, params) | linear_measures(of, params) | gains(of, params)
        write_metrics(measured, found)


def judged(name: str, places: Places, params: Params, folder: Path) -> dict[str, Any]:
    """Give all measures of a set that is kept, and what the generator makes of it."""
    heard, measured = paths_of(name, folder)
    tensors, _ = read_tensors(heard)
    continued, decoded = tensors["continued"].numpy(), tensors["decoded"].numpy()
    return {
        **outcomes(continued, decoded, places, params),
        **reconstruction_error(decoded, places),
        **read_json(measured),
    }


if __name__ == "__main__":
    run_stage(ranking_study)
