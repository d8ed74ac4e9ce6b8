"""Two legs of a tiny codec, alone or as one of the processes of torchrun, killed at a step or not.

torchrun --standalone --nproc-per-node 2 -m tests.harness.codec_leg FOLDER [STEP]
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from mimi_dynamics.pipeline.distributed import process_group, rank
from mimi_dynamics.pipeline.params import PLAIN
from mimi_dynamics.pipeline.tensors import sha256_of_tensors
from mimi_dynamics.studies.codec import legs
from mimi_dynamics.studies.codec.training import CodecTraining
from tests.harness.tiny_codec import TINY, noise

LEG = TINY.legs[0].model_copy(update={"batch_clips": 4, "average": 0.9})
TWO_LEGS = TINY.model_copy(update={"legs": [LEG, LEG.model_copy(update={"seed": 1, "steps": 5})]})
AUDIO = (noise(20) * 32767).astype(np.int16)


def main(folder: Path, killed_at: int | None) -> None:
    """Train both legs; each process notes the weights that it ends with."""
    torch.set_num_threads(1)
    legs.CHECKPOINT_EVERY = 3
    step, ends = CodecTraining.step, {}

    def noting_step(training: CodecTraining) -> dict[str, float]:
        if training.steps_done == killed_at and rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        losses = step(training)
        ends[training.start] = sha256_of_tensors(training.weights())
        return losses

    CodecTraining.step = noting_step
    with process_group(PLAIN):
        log = legs.train_legs(TWO_LEGS, AUDIO, folder, folder / "weights.safetensors")
        (folder / f"{rank()}.json").write_text(json.dumps([list(ends.values()), log]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
