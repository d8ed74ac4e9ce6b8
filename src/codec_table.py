"""Of which codec is what true? Gather the rows that stage `codec_row` has measured, one a codec.

    python src/codec_table.py    (or: dvc repro codec_table)

Reads metrics/detail/codec_rows/ and data/manifest.parquet.
Writes metrics/codec_table.json, metrics/detail/codec_table.json, plots/codec_table.csv and
plots/codec_quality.csv. A row that was made with other weights, clips or settings stands apart
there, and is in no picture.
"""

import sys
from pathlib import Path

import pandas as pd

from mimi_dynamics.pipeline.files import require, write_table
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import clips_sha256
from mimi_dynamics.pipeline.without_audio import has_audio
from mimi_dynamics.studies.codec_row.table import (
    NOT_TODAYS,
    plot_table,
    quality_table,
    read_rows,
)


def codec_table(params: Params) -> None:
    """Run the stage."""
    manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    own_weights = None if has_audio(manifest) else ""
    rows = read_rows(params, clips_sha256(manifest), own_weights)
    for row, metrics in rows.get(NOT_TODAYS, {}).items():
        print(f"{row}: not of this run: {metrics['differs']}; make studies", file=sys.stderr)
    write_stage_metrics("codec_table", rows)
    write_table(Path("plots/codec_table.csv"), plot_table(rows))
    write_table(Path("plots/codec_quality.csv"), quality_table(rows, params))


if __name__ == "__main__":
    run_stage(codec_table)
