"""Train a leg of mimi-mini that ends by itself after a given time, as on a GPU lent for minutes.

    PYTHONPATH=src .venv/bin/python benchmarks/codec_gpu.py --minutes 10 --device cuda

Times some steps, then trains as many as fit: `legs.train_leg`, as the stage `codec` does, with its
whole schedule. Goes on from --start, or begins anew. Writes the weights, with all their legs in
their metadata, after the leg. Killed before, the same command with --steps and the number that it
printed goes on from the last checkpoint.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from mimi_dynamics.codec.mimi_mini import MINI_WEIGHTS, halves, read_mini, save_mini
from mimi_dynamics.pipeline.params import LegParams, MiniParams, load_params
from mimi_dynamics.pipeline.tensors import sha256_of_tensors
from mimi_dynamics.studies.codec.legs import train_leg
from mimi_dynamics.studies.codec.speech import join_speech, training_speech
from mimi_dynamics.studies.codec.training import CodecTraining

SCRATCH = Path("runs/codec")
TIMED_STEPS = 12
# Share of the time that goes to steps; the rest is for checkpoints and machines that slow down.
MARGIN = 0.9


def main() -> None:
    """Train one leg."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=96, help="clips of a step")
    parser.add_argument("--lr", type=float, default=0.0006)
    parser.add_argument("--average", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--start", type=Path, default=MINI_WEIGHTS, help="'none' = new weights")
    parser.add_argument("--steps", type=int, help="of a leg to go on with, instead of --minutes")
    parser.add_argument("--out", type=Path, default=SCRATCH / "leg.safetensors")
    arguments = parser.parse_args()
    params, device = load_params(), torch.device(arguments.device)
    anew = arguments.start == Path("none")
    weights, info = (None, {"chain": []}) if anew else read_mini(arguments.start)
    legs = [] if anew else [LegParams(**leg) for leg in info["params"]["legs"]]
    mini = params.codec.mini.model_copy(update={"legs": legs})
    speech = training_speech(params.ingest, mini, SCRATCH)
    audio = join_speech(speech[speech["split"] == "train"])
    leg = LegParams(
        seed=arguments.seed,
        steps=arguments.steps or 1,
        batch_clips=arguments.batch,
        lr=arguments.lr,
        average=arguments.average,
    )
    if not arguments.steps:
        seconds = step_seconds(CodecTraining(mini, leg, audio, weights, device))
        steps = max(1, int(MARGIN * 60 * arguments.minutes / seconds))
        leg = leg.model_copy(update={"steps": steps})
        print(f"{seconds:.3f} s a step: {leg}", flush=True)
    training = CodecTraining(mini, leg, audio, weights, device)
    train_leg(training, SCRATCH / "leg-checkpoint.safetensors", "leg")
    write_weights(training, mini, info["chain"], arguments.out)


def step_seconds(training: CodecTraining) -> float:
    """Give the median seconds of a step, the first ones left out."""
    seconds = []
    for _ in range(TIMED_STEPS):
        start = time.perf_counter()
        training.step()  # Its losses reach the processor, so the device has finished.
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[TIMED_STEPS // 3 :]))


def write_weights(
    training: CodecTraining, before: MiniParams, chain: list[dict[str, str]], path: Path
) -> None:
    """Write what the leg has come to, with the legs before it."""
    weights = halves(training.weights())
    link = {"start": training.start, "end": sha256_of_tensors(weights)}
    done = before.model_copy(update={"legs": [*before.legs, training.leg]})
    save_mini(weights, done, [*chain, link], path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
