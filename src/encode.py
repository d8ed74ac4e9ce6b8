"""Encode all clips into the codec's pre-quantiser latents, 12.5 of them per second.

    python src/encode.py         (or: dvc repro encode)

Reads data/manifest.parquet, data/audio/ and the codec.
Writes data/latents/ and metrics/detail/encode.json.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage

MANIFEST = Path("data/manifest.parquet")


def encode(params: Params) -> None:
    """Run the stage.

    Raises:
        InputError: there is no manifest, or a clip cannot be encoded.
    """
    path = require(MANIFEST, "ingest")
    codec = load_codec(params.codec, params.compute)
    manifest = pd.read_parquet(path)
    metrics = encode_corpus(
        codec, manifest, Path("data/latents"), params.encode, Path("runs/encode")
    )
    write_stage_metrics("encode", metrics)


if __name__ == "__main__":
    run_stage(encode)
