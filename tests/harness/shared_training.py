"""A training, alone or as one of the processes of torchrun: writes what each process saw.

torchrun --standalone --nproc-per-node 2 -m tests.harness.shared_training HEAD FOLDER
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import torch

from mimi_dynamics.density.predictor import make_conditional, make_marginal
from mimi_dynamics.density.training import TrainingParams, fit, mean_loss
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.pipeline.distributed import process_group
from mimi_dynamics.pipeline.params import PLAIN
from tests.harness.simulation import simulate

DIM = 3
BATCH_FRAMES = 130  # two clips or one, so that now and then a process has none


def main(head: str, folder: Path) -> None:
    """Train without dropout, whose masks would differ, and note a loss after every step."""
    torch.set_num_threads(1)
    data = simulate("linear", 3000, DIM)
    size = 1, 4, BATCH_FRAMES
    train, validation = (data.batches(s, *size, delta=False) for s in ("train", "validation"))
    train.append(data.batches("train", 1, 4, 50, delta=False)[0])  # of a single clip
    torch.manual_seed(0)
    marginal = make_marginal(fit_var(train, validation, 0), head, 16, 3)
    model = make_conditional(marginal, fit_var(train, validation, 2), 16, 0.0)
    curve: list[float] = []

    class Noting(torch.optim.AdamW):
        def step(self) -> None:
            super().step()
            curve.append(mean_loss(model, validation))
            model.train()

    with process_group(PLAIN):
        best = fit(
            model,
            train,
            validation,
            TrainingParams(0.01, 2),
            torch.Generator().manual_seed(0),
            lambda of, lr: [Noting(of.parameters(), lr=lr)],
        )
    weights = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
    digest = hashlib.sha256(weights).hexdigest()
    found = {"best": best, "curve": curve, "weights": digest, "batches": len(train)}
    (folder / f"{os.environ.get('RANK', 'alone')}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
