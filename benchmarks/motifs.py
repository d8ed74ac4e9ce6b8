r"""What tables alone can find of planted motifs, beside the best that anyone could.

Frames are white noise, so that there is nothing but motifs to find, and keys are those of the state
z_dyn: motifs come as often as its n-grams do. The memory of stage `engram` is the whole model; its
output is the mean of the next frame. Beside it stand estimates in closed form, which know that the
noise is white and which n-grams may have a shift: of someone who also knows the plane of all shifts
and their size, and of one who has to tell both from the data (empirical Bayes, Efron & Morris
1976).

    PYTHONPATH=src .venv/bin/python benchmarks/motifs.py

Reads data/latents/, data/states/ and models/normalizer.safetensors.
Prints a table of nats a frame on validation, which benchmarks/engram_cost.py --write has on its
page. Takes a minute on an idle core.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from mimi_dynamics.density.training import TrainingParams, fit
from mimi_dynamics.latents.loading import load
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import EngramParams, Params, load_params
from mimi_dynamics.studies.engram.keys import in_split
from mimi_dynamics.studies.engram.memory import EngramMemory, Hashing
from mimi_dynamics.studies.engram.planting import (
    LEAST_SIGHTINGS,
    PLANE,
    Planted,
    before,
    plant,
    targets,
)
from mimi_dynamics.studies.engram.study import Subject
from mimi_dynamics.studies.engram.subjects import make_subjects

WORTHS = (0.02, 0.1, 0.35)
WIDTH = 32
SMALL = {"heads": 1, "row_dim": 2, "rows": 4096}
# Sizes of the tables, and their learning rate as a multiple of that of the other weights.
TRIED: tuple[tuple[dict[str, int], float], ...] = (({}, 0.1), ({}, 5.0), (SMALL, 1.0))


class Alone(nn.Module):
    """A memory without a trunk: N(its output, 1).

    Args:
        keys: number of different keys.
        dim: coordinates of a frame.
        settings: sizes of the tables.
    """

    def __init__(self, keys: int, dim: int, settings: EngramParams) -> None:
        super().__init__()
        hashing = Hashing(keys, settings.rows, settings.heads, 0)
        self.memory = EngramMemory(hashing, settings.row_dim, WIDTH)
        self.hidden = nn.Parameter(torch.randn(WIDTH))
        self.mean = nn.Linear(WIDTH, dim)

    def forward(self, batch: Batch) -> Tensor:
        """Give the (scored,) losses, less those of the mean 0."""
        keys = batch.context[..., -1].long()
        read = self.memory(keys, self.hidden.expand(*keys.shape, -1))
        target = batch.target[batch.scored]
        error = target - self.mean(read)[batch.scored]
        return (error.square() - target.square()).sum(1) / 2


@dataclass(frozen=True)
class Estimates:
    """Means of what follows each n-gram, in closed form."""

    planted: Planted
    first: int

    def saved(self, white: Tensor | None = None) -> float:
        """Give the nats a frame that shrunk means save on validation.

        Args:
            white: (frames, dim) the frames without shifts, for someone who knows the plane.
        """
        data = self.planted.data
        frames = data.frames.double().numpy()
        _, gram = np.unique(
            before(self.planted.keys, data.lengths, self.planted.order), return_inverse=True
        )
        train = targets(data, self.first)
        n = np.bincount(gram[train], minlength=gram.max() + 1)
        sums = np.stack([np.bincount(gram[train], of[train], len(n)) for of in frames.T], 1)
        n = np.where(n >= LEAST_SIGHTINGS, n, 0)
        sums[n == 0] = 0
        spread = self.told(n, sums) if white is None else self.known(white)
        mean = np.stack(
            [
                spread @ np.linalg.solve(k * spread + np.eye(len(spread)), of)
                for k, of in zip(n, sums, strict=True)
            ]
        )
        at = in_split(data, "validation") & ~data.gated.numpy() & (data.index_in_clip >= self.first)
        error = frames[at] - mean[gram[at]]
        return float((frames[at] ** 2 - error**2).sum(1).mean() / 2)

    def known(self, white: Tensor) -> np.ndarray:
        """Give the (dim, dim) covariance of the shifts, from the shifts themselves."""
        moved = (self.planted.data.frames - white).double().numpy()
        plane = np.linalg.svd(moved[np.abs(moved).sum(1) > 0], full_matrices=False)[2][:PLANE]
        return self.planted.sd**2 * plane.T @ plane

    def told(self, n: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Give the covariance of the shifts as far as n-grams vary more than noise does."""
        seen = n > 0
        scaled = sums[seen] / np.sqrt(n[seen])[:, None]
        beyond = scaled.T @ scaled - seen.sum() * np.eye(sums.shape[1])
        values, axes = np.linalg.eigh(beyond / n.sum())
        return axes * values.clip(min=0) @ axes.T


def learned(subject: Subject, settings: EngramParams) -> float:
    """Give the nats a frame that a memory saves on validation, at its best epoch."""
    torch.manual_seed(0)
    model = Alone(subject.keys.count, subject.data.dim, settings)
    tables = model.memory.tables.weight

    def optimizers(of: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
        dense = [weight for weight in of.parameters() if weight is not tables]
        sparse = torch.optim.SparseAdam([tables], lr=settings.table_lr * lr)
        return [torch.optim.AdamW(dense, lr=lr, fused=True), sparse]

    training = TrainingParams(settings.lr, settings.epochs)
    generator = torch.Generator().manual_seed(0)
    train, validation = (subject.batches(split) for split in ("train", "validation"))
    return -fit(model, train, validation, training, generator, optimizers)


def table_lines(params: Params) -> list[str]:
    """Nats a frame on validation, by worth of the motifs and by who looks for them."""
    latents, _, data = load(params)
    state = make_subjects(params, latents, data)[-1]
    white = torch.randn(state.data.frames.shape, generator=torch.Generator().manual_seed(0))
    fixed = replace(state.keys, assign=None)  # the keys of the state stay as they are
    settings = [params.engram.model_copy(update={**s, "table_lr": lr}) for s, lr in TRIED]
    labels = [f"{s.heads} × {s.rows} × {s.row_dim}, rate {s.table_lr:g}" for s in settings]
    lines = [f"| worth | plane known | not known | {' | '.join(labels)} |"]
    lines += ["|---" * (len(labels) + 3) + "|"]
    first = state.params.warmup_frames
    for worth in tqdm(WORTHS, "motifs"):
        frames, noise = replace(state.data, frames=white), torch.eye(state.data.dim)
        planted = plant(frames, fixed, noise, worth, first, seed=0)
        subject = replace(state, data=planted.data, keys=planted.keys)
        best = Estimates(planted, first)
        cells = [best.saved(of) for of in (white, None)]
        cells += [learned(subject, of) for of in settings]
        lines.append(f"| {worth:g} | {' | '.join(f'{cell:+.3f}' for cell in cells)} |")
    return lines


def main() -> None:
    """The command."""
    torch.set_num_threads(1)
    try:
        print("\n".join(table_lines(load_params())))
    except (InputError, FileNotFoundError) as error:
        sys.exit(f"motifs: error: {error}")


if __name__ == "__main__":
    main()
