"""Encode all clips into the codec's pre-quantiser latents, 12.5 of them per second.

Latents of your own, `ingest.corpora=[latents]`, are checked and stored as they are, by no codec.

    python src/encode.py         (or: dvc repro encode)

Reads data/manifest.parquet, data/audio/ and the codec, or `ingest.latents.path`.
Writes data/latents/ and metrics/detail/encode.json.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.own_latents.listing import read_own
from mimi_dynamics.own_latents.storing import store
from mimi_dynamics.pipeline.files import require
from mimi_dynamics.pipeline.metrics import write_stage_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import has_audio, say_without

MANIFEST, LATENTS = Path("data/manifest.parquet"), Path("data/latents")


def encode(params: Params) -> None:
    """Run the stage.

    Raises:
        InputError: there is no manifest, a clip cannot be encoded, or latents are not usable.
    """
    path = require(MANIFEST, "ingest")
    manifest = pd.read_parquet(path)
    if has_audio(manifest):
        codec = load_codec(params.codec, params.compute)
        metrics = encode_corpus(codec, manifest, LATENTS, params.encode, Path("runs/encode"))
    else:
        own = params.ingest.latents
        say_without("encode", "audio", "they are stored as they are, and no codec is loaded")
        metrics = store(read_own(own.path), manifest, LATENTS, own.frame_rate)
    write_stage_metrics("encode", metrics)


if __name__ == "__main__":
    run_stage(encode)
