"""Decode the speech corpora named in `ingest.corpora` into 24 kHz clips, and split them.

    python src/ingest.py         (or: dvc repro ingest)

Reads the corpora, from `ingest.mirror` or from their public homes.
Writes data/audio/, data/manifest.parquet, data/rejected.csv, data/notes.csv, plots/voices.csv,
metrics/ingest.json and metrics/detail/ingest.json. Prints which voices there are.
"""

from pathlib import Path

from mimi_dynamics.pipeline.files import remove_leftovers, write_table, write_text
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.speech.ingestion import ingest_with_notes, write_manifest
from mimi_dynamics.speech.notes import count_notes, note_lines
from mimi_dynamics.speech.summary import overview, summarise, tell, voice_table

AUDIO_DIR = Path("data/audio")


def ingest(params: Params) -> None:
    """Run the stage: list the recordings, decode and split them, and write the results."""
    remove_leftovers(AUDIO_DIR)
    manifest, rejected, notes = ingest_with_notes(params.ingest, AUDIO_DIR)
    write_manifest(manifest, Path("data/manifest.parquet"))
    write_text(Path("data/rejected.csv"), rejected.to_csv(index=False, lineterminator="\n"))
    write_text(Path("data/notes.csv"), notes.to_csv(index=False, lineterminator="\n"))
    write_table(Path("plots/voices.csv"), voice_table(manifest))
    write_stage_metrics("ingest", summarise(manifest, rejected) | {"noted": count_notes(notes)})
    tell(overview(manifest, rejected) + note_lines(notes))


if __name__ == "__main__":
    run_stage(ingest)
