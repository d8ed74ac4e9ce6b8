"""Check that the folders and files that settings name can be read by DVC, before it reads them.

    python src/sources.py         (or: dvc repro sources)

Reads the names of files in `ingest.folder.path`, `ingest.latents.path`, `ingest.mirror`,
`ingest.voice_table`, `codec.lyra.weights`, `codec.mimi.weights` and `codec.pocket_tts.weights`.
Writes data/sources.txt, whose only use is that `ingest` comes after this stage.
"""

from pathlib import Path

from mimi_dynamics.pipeline.files import write_text
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.sources import check_sources
from mimi_dynamics.pipeline.stage import run_stage


def sources(params: Params) -> None:
    """Run the stage."""
    check_sources(params)
    # It says the same for all settings: what changed in a source, DVC finds out from the source.
    write_text(Path("data/sources.txt"), "checked\n")


if __name__ == "__main__":
    run_stage(sources)
