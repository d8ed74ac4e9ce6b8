"""Encode all clips into the codec's pre-quantiser latents, 12.5 a second.

Reads data/manifest.parquet and data/audio/. Writes data/latents/ and its metrics.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.pipeline.errors import require
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage

MANIFEST = Path("data/manifest.parquet")


def encode(params: Params) -> None:
    """Read, encode, write."""
    manifest = pd.read_parquet(require(MANIFEST, "ingest"))
    codec = load_codec(params.codec)
    metrics = encode_corpus(
        codec, manifest, Path("data/latents"), params.encode, Path("runs/encode")
    )
    write_stage_metrics("encode", metrics)


if __name__ == "__main__":
    run_stage(encode)
