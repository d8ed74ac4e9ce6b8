"""Which shape of mimi-mini learns most in the same time of the processor, from new weights.

    PYTHONPATH=src .venv/bin/python benchmarks/codec_shapes.py --minutes 24 as-is strides-reversed

Trains the named shapes on the speech of `codec.mini`, each in a process of one thread, as many at
once as there are cores, and prints the log-mel distance on validation, quantised and not, ten times
on the way. Time is that of the processor, so that other work on the machine does not count.
"""

import argparse
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mimi_dynamics.codec import mimi_mini
from mimi_dynamics.codec.base import MimiCodec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.log_mel import log_mel_distance
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.params import LegParams, load_params
from mimi_dynamics.studies.codec import training
from mimi_dynamics.studies.codec.speech import join_speech, training_speech
from mimi_dynamics.studies.codec.training import CodecTraining

SHAPES: dict[str, dict[str, Any]] = {
    "as-is": {},
    "strides-reversed": {"seanet": {"ratios": [4, 5, 6, 8]}},
    "transformer-192x4": {
        "layers": 4,
        "transformer": {"d_model": 192, "num_heads": 6, "dim_feedforward": 768},
    },
    "transformer-256x2": {"transformer": {"d_model": 256, "num_heads": 8, "dim_feedforward": 1024}},
    "transformer-128x6": {"layers": 6},
    "strides-reversed-filters-24": {"filters": 24, "seanet": {"ratios": [4, 5, 6, 8]}},
}
LEG = LegParams(seed=0, steps=10**6, batch_clips=6, lr=0.001, average=0.99)
WARMUP_STEPS = 200
CLIPS, CLIP_SAMPLES = 36, 5 * 24_000
REPORTS = 10
SCRATCH = Path("runs/codec")


def main() -> None:
    """Run the benchmark, or be one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="+", choices=SHAPES)
    parser.add_argument("--minutes", type=float, default=30, help="of the processor, each")
    arguments = parser.parse_args()
    params = load_params()
    speech = training_speech(params.ingest, params.codec.mini, SCRATCH)
    if len(arguments.shapes) == 1:
        print_curve(arguments.shapes[0], speech, arguments.minutes)
        return
    command = [sys.executable, __file__, "--minutes", str(arguments.minutes)]
    waiting: list[str] = list(arguments.shapes)
    running: list[subprocess.Popen[bytes]] = []
    while waiting or running:
        while waiting and len(running) < available_cores():
            running.append(subprocess.Popen([*command, waiting.pop(0)]))
        running.pop(0).wait()


def print_curve(shape: str, speech: pd.DataFrame, minutes: float) -> None:
    """Train one shape and print what it has learned, again and again."""
    torch.set_num_threads(1)
    mini = load_params().codec.mini
    changes = dict(SHAPES[shape])
    sizes = {key: changes.pop(key) for key in list(changes) if key in type(mini).model_fields}
    mini, plain = mini.model_copy(update=sizes), mimi_mini.mini_config
    mimi_mini.mini_config = lambda params: {
        key: value | changes[key] if key in changes else value
        for key, value in plain(params).items()
    }
    learner = CodecTraining(mini, LEG, join_speech(speech[speech["split"] == "train"]))
    spent = 0.0
    # The rate falls along a cosine of time, not of steps.
    training._schedule = lambda step, steps: _rate(step, spent / 60 / minutes)
    clips = speech[speech["split"] == "validation"]
    sounds = [
        torch.from_numpy(read_clip(Path(path)))[:CLIP_SAMPLES]
        for path in clips["path"].iloc[choose_evenly(len(clips), CLIPS)]
    ]
    size = sum(parameter.numel() for parameter in learner.model.parameters()) / 1e6
    for report in range(1, REPORTS + 1):
        while spent < 60 * minutes * report / REPORTS:
            start = time.process_time()
            learner.step()
            spent += time.process_time() - start
        quantised, continuous = distances(learner, sounds)
        print(
            f"{shape} {size:.2f} M parameters, {spent / 60:.1f} min, {learner.steps_done} steps: "
            f"log-mel {quantised:.4f} quantised, {continuous:.4f} not",
            flush=True,
        )


def distances(learner: CodecTraining, sounds: list[torch.Tensor]) -> tuple[float, float]:
    """Give the mean log-mel distance of sounds after the codec, quantised and not."""
    model = mimi_mini.build_mini(learner.params)
    model.load_state_dict(learner.weights())
    codec = MimiCodec("mimi-mini", "", model)
    found = []
    with torch.no_grad():
        for sound in sounds:
            latents = codec.encode(sound[None])
            results = codec.decode_codes(codec.quantize(latents)), codec.decode(latents)
            found.append(
                [log_mel_distance(r[:, : len(sound)], sound[None]).item() for r in results]
            )
    quantised, continuous = np.mean(found, axis=0)
    return quantised, continuous


def _rate(step: int, share: float) -> float:
    return min(1.0, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


if __name__ == "__main__":
    main()
