"""Does a measure of minutes rank latents as a fixed generator would?

Makes sets of latents of the same speech: of several codecs, with fewer components, with noise,
smoothed, and at half the rate. Trains the same small generator on each, and judges what it
generates by what is heard of it. Beside that, measures each set as bet 1 does, and by what others
use: variance of the velocity, R², autocorrelation, error of reconstruction. Then ranks the sets by
each.

    python src/ranking_study.py

It takes about six minutes of a core for each set, and `dvc repro` does not run it. It keeps what it
has done in runs/ranking_study/, where a run that was stopped goes on; after a change of the code
that trains or measures, remove that folder.
Reads data/manifest.parquet, data/audio/, data/latents/ and the codecs.
Writes metrics/detail/ranking_study.json, plots/ranking_study.csv and plots/ranking_sets.csv.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.files import read_json, require, write_metrics, write_table
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import bet_settings, folder_of, origin_of_run, write_study
from mimi_dynamics.studies.ranking.correlations import rank
from mimi_dynamics.studies.ranking.generating import heard_of, outcomes
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
    folder = folder_of(KEPT, origin | apart_from_sets(settings))
    places = choose_places(latents, data, manifest, params.ranking_study.starts)
    rows = {name: spec_of(name).row for name in params.ranking_study.sets}
    found: dict[str, dict[str, Any]] = {}
    for row in dict.fromkeys(rows.values()):
        names = [name for name, of in rows.items() if of == row]
        left = [name for name in names if not (folder / f"{name}.json").exists()]
        encoded = encode_row(row, manifest, params, folder / "work") if left else None
        for name in names:
            if name in left and encoded is not None:
                of = make_set(name, encoded, params.seed)
                write_metrics(folder / f"{name}.json", judge(of, places, params, folder))
            found[name] = read_json(folder / f"{name}.json")
        results = {"set": found, "rank_correlation": rank(found)}
        write_study("ranking_study", results, settings, origin)
        write_table(Path("plots/ranking_study.csv"), ranks_table(found))
        write_table(Path("plots/ranking_sets.csv"), sets_table(found))


def apart_from_sets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings on which a set depends: which others there are is none of them."""
    study = {key: value for key, value in settings["ranking_study"].items() if key != "sets"}
    return {**settings, "ranking_study": study}


def judge(of: RankedSet, places: Places, params: Params, folder: Path) -> dict[str, float]:
    """Give all measures of a set, and what the generator makes of it.

    Args:
        of: the set.
        places: where it is continued.
        params: all settings.
        folder: where trainings are kept.
    """
    continued, decoded = heard_of(of, places, params, folder)
    return {
        **outcomes(continued, decoded, places, params),
        **reconstruction_error(decoded, places),
        **velocity_variances(of, params),
        **linear_measures(of, params),
        **gains(of, params),
    }


if __name__ == "__main__":
    run_stage(ranking_study)
