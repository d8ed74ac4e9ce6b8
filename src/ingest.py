"""Decode the speech corpora named in `ingest.corpora` into 24 kHz clips, and split them.

Latents of your own, `ingest.corpora=[latents]`, are listed and split alike, without audio.

    python src/ingest.py         (or: dvc repro ingest)

Reads the corpora, from `ingest.mirror` or from their public homes, or `ingest.latents.path`.
Writes data/audio/, data/manifest.parquet, data/rejected.csv, data/notes.csv, plots/voices.csv,
metrics/ingest.json and metrics/detail/ingest.json. Prints which voices there are.
"""

import sys
from pathlib import Path

import pandas as pd

from mimi_dynamics.pipeline.files import atomic_path, remove_leftovers, write_table, write_text
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import OWN_LATENTS, Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import NOTHING, say_without
from mimi_dynamics.speech.ingestion import ingest_with_notes, write_manifest
from mimi_dynamics.speech.notes import count_notes, note_lines, notes_table
from mimi_dynamics.speech.summary import overview, summarise, tell, voice_table
from mimi_dynamics.studies.ingest.latents import ingest_latents

AUDIO_DIR = Path("data/audio")


def ingest(params: Params) -> None:
    """Run the stage: list the recordings, decode and split them, and write the results."""
    remove_leftovers(AUDIO_DIR)
    if OWN_LATENTS in params.ingest.corpora:
        manifest, rejected, notes = list_latents(params)
    else:
        manifest, rejected, notes = ingest_with_notes(params.ingest, AUDIO_DIR)
    write_manifest(manifest, Path("data/manifest.parquet"))
    write_text(Path("data/rejected.csv"), rejected.to_csv(index=False, lineterminator="\n"))
    write_text(Path("data/notes.csv"), notes.to_csv(index=False, lineterminator="\n"))
    write_table(Path("plots/voices.csv"), voice_table(manifest))
    write_stage_metrics("ingest", summarise(manifest, rejected) | {"noted": count_notes(notes)})
    tell(overview(manifest, rejected) + note_lines(notes))


def list_latents(params: Params) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Give the manifest of latents, what was rejected and no notes; leave a folder without audio.

    Raises:
        InputError: see `ingest_latents`.
    """
    manifest, rejected, said = ingest_latents(params.ingest)
    for line in said:
        print(f"ingest: {line}", file=sys.stderr)
    say_without("ingest", "audio", f"there is none in {AUDIO_DIR}/, and no stage measures sound")
    with atomic_path(AUDIO_DIR) as folder:
        folder.mkdir()
        write_text(folder / NOTHING, "")  # DVC warns of a folder without a file, at every stage.
    return manifest, rejected, notes_table([])


if __name__ == "__main__":
    run_stage(ingest)
