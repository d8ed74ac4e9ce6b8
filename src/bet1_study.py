"""How often do the rules of bet 1 say yes where there is nothing to find?

Measures corpora of spliced speech and of gated noise as stage `codec_row` measures speech, with
fewer clips and a smaller network, and applies the rules of bet 1 to each.

    python src/bet1_study.py

It keeps what it has measured in runs/bet1_study/, where a run that was stopped goes on; after a
change of the code that measures, remove that folder.
Reads bets.yaml, data/manifest.parquet, data/audio/ and the codec.
Writes metrics/detail/bet1_study.json.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.pipeline.files import read_json, require, write_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import bet_settings, folder_of, origin_of_run, write_study
from mimi_dynamics.report.alarms import alarms
from mimi_dynamics.report.rules import load_bets
from mimi_dynamics.studies.codec_row.nulls import NULLS, gains_of, some_clips

# Sections of params.yaml on which the results depend.
SECTIONS = ("bet1_study", "codec", "head", "latents", "predict", "seed")
KEPT = Path("runs/bet1_study")


def bet1_study(params: Params) -> None:
    """Run the study."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    origin = origin_of_run(load_codec(params.codec).weights_sha256, manifest)
    settings = bet_settings(params, SECTIONS)
    folder = folder_of(KEPT, origin | settings)
    clips = some_clips(manifest, params.bet1_study.every)
    rules = load_bets().bets["bet1"]
    found: dict[str, dict[str, Any]] = {name: {} for name in NULLS}
    for number in range(params.bet1_study.corpora):
        for name in NULLS:
            found[name][f"c{number}"] = measured(name, number, clips, params, folder)
            write_study("bet1_study", alarms(rules, found), settings, origin)


def measured(
    name: str, number: int, clips: pd.DataFrame, params: Params, folder: Path
) -> Mapping[str, Any]:
    """Measure a corpus, unless an earlier run did.

    Args:
        name: a key of `NULLS`.
        number: number of the corpus, which seeds it.
        clips: the clips in whose place it stands.
        params: all settings.
        folder: where results are kept.
    """
    path = folder / f"{name}-{number}.json"
    if not path.exists():
        subject = NULLS[name](clips, params, folder / "work", params.seed + number)
        write_metrics(path, gains_of(subject, params))
    return read_json(path)


if __name__ == "__main__":
    run_stage(bet1_study)
