"""The training of mimi-mini in legs, each from the weights that the one before it wrote."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mimi_dynamics.codec.mimi_mini import MINI_WEIGHTS, halves, read_mini, save_mini
from mimi_dynamics.pipeline.distributed import rank
from mimi_dynamics.pipeline.params import MiniParams
from mimi_dynamics.pipeline.tensors import sha256_of_tensors
from mimi_dynamics.studies.codec.training import CodecTraining

CHECKPOINT_EVERY = 200

Log = list[dict[str, float]]


def train_legs(
    params: MiniParams,
    audio: np.ndarray,
    scratch: Path,
    path: Path = MINI_WEIGHTS,
    device: torch.device | None = None,
) -> Log:
    """Train the legs that the weights at `path` lack, and write the weights after each of them.

    If the file there is of this shape and has some of the legs of `params`, training goes on from
    it, else it starts anew. In processes of a group, the first of them writes.

    Args:
        params: shape of the model and its legs.
        audio: see `CodecTraining`.
        scratch: the folder of the checkpoint.
        path: the file of the weights.
        device: where to train; None = on the processor.

    Returns:
        The log of the legs trained now: the column `leg`, from 1, and those of `CodecTraining.log`.

    Raises:
        InputError: the speech is too short, or a batch cannot be shared out among the processes.
    """
    weights, chain = _trained_so_far(params, path)
    log: Log = []
    for number in range(len(chain) + 1, len(params.legs) + 1):
        training = CodecTraining(params, params.legs[number - 1], audio, weights, device)
        train_leg(training, scratch / "checkpoint.safetensors", f"codec, leg {number}")
        weights = halves(training.weights())
        chain = [*chain, {"start": training.start, "end": sha256_of_tensors(weights)}]
        done = params.model_copy(update={"legs": params.legs[:number]})
        if rank() == 0:
            save_mini(weights, done, chain, path)
        log += [{"leg": number, **row} for row in training.log]
    return log


def _trained_so_far(
    params: MiniParams, path: Path
) -> tuple[dict[str, Tensor] | None, list[dict[str, str]]]:
    """Give the weights to go on from and the chain of legs behind them, if there are any."""
    if not path.exists():
        return None, []
    weights, info = read_mini(path)
    made_with, wanted = info.get("params", {}), params.model_dump()
    legs = made_with.get("legs", [])
    same_shape = {**made_with, "legs": []} == {**wanted, "legs": []}
    if not same_shape or legs != wanted["legs"][: len(legs)] or len(legs) == len(wanted["legs"]):
        return None, []
    return weights, info["chain"]


def train_leg(training: CodecTraining, checkpoint: Path, name: str) -> None:
    """Train a leg to its last step, from its checkpoint if there is one.

    A leg that was interrupted and resumed takes the same steps as one that was not.

    Args:
        training: the leg.
        checkpoint: the file of its checkpoint, which the first process of a group writes.
        name: what the progress bar calls it.
    """
    if training.restore(checkpoint) and rank() == 0:
        print(f"going on from {checkpoint}, step {training.steps_done}", flush=True)
    steps = training.leg.steps
    with tqdm(
        desc=name,
        total=steps,
        initial=training.steps_done,
        unit="step",
        mininterval=10,
        disable=rank() > 0,
    ) as bar:
        while training.steps_done < steps:
            training.step()
            bar.update()
            due = training.steps_done % CHECKPOINT_EVERY == 0 or training.steps_done == steps
            if due and rank() == 0:
                training.save(checkpoint)
                bar.write(_progress(training))


def _progress(training: CodecTraining) -> str:
    losses = {name: value for name, value in training.log[-1].items() if name != "step"}
    means = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
    return f"step {training.steps_done}/{training.leg.steps} {means}"
