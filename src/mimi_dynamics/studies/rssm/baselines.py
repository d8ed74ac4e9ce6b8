"""Cheap ways to an easy sequence of the same dimension: what a learned state has to beat.

Each is causal and gives coordinates for every frame; how easy they are, and how much of x is left
in them, is measured by the same code as for the state.
"""

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from mimi_dynamics.density.training import TrainingParams, fit
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.studies.rssm.networks import DiagonalGaussian

SLOW_AVERAGES = (2, 4)  # frames over which slow features are averaged too: 160 and 320 ms


def principal(data: Sequences, dim: int) -> Tensor:
    """(frames, dim) the leading principal components of each frame."""
    return data.frames[:, :dim]


def moving_average(data: Sequences, coordinates: Tensor, length: int) -> Tensor:
    """(frames, dim) mean of the newest `length` frames' coordinates, within the clip."""
    means = []
    for clip in coordinates.split(data.lengths.tolist()):
        total = clip.cumsum(0)
        total = torch.cat([total[:length], total[length:] - total[:-length]])
        count = torch.arange(1, len(clip) + 1).clamp(max=length)
        means.append(total / count[:, None])
    return torch.cat(means)


def slow_features(data: Sequences, dim: int) -> Tensor:
    """(frames, dim) the directions of whitened x that change least from frame to frame on train.

    Linear slow feature analysis (Wiskott & Sejnowski 2002, Neural Computation 14).
    """
    train = data.select("train")
    changes = torch.cat([clip.diff(dim=0) for clip in train.frames.split(train.lengths.tolist())])
    scatter = torch.cov(train.frames.T.double())
    root = torch.linalg.inv(torch.linalg.cholesky(scatter)).T
    whitened = changes.double() @ root
    _, directions = torch.linalg.eigh(whitened.T @ whitened)  # rising: the slowest first
    return (data.frames.double() @ root @ directions[:, :dim]).float()


@dataclass(frozen=True)
class VaeParams:
    """Of the per-frame VAE.

    Attributes:
        dim: of its latent.
        width: hidden units.
        training: learning rate and epochs.
        batch_frames: in a batch.
        seed: of weights, order and draws.
    """

    dim: int
    width: int
    training: TrainingParams
    batch_frames: int
    seed: int


class FrameVae(nn.Module):
    """A VAE of single frames (Kingma & Welling 2014): what the frame alone can be squeezed into.

    Args:
        frame_dim: coordinates of x.
        dim: of the latent.
        width: hidden units.
    """

    def __init__(self, frame_dim: int, dim: int, width: int) -> None:
        super().__init__()
        self.encoder = DiagonalGaussian(frame_dim, dim, width)
        self.decoder = DiagonalGaussian(dim, frame_dim, width, floor=NOISE_FLOOR)

    def forward(self, batch: Batch) -> Tensor:
        """(scored,) negative evidence bounds in nats per frame."""
        frames = batch.context[batch.scored]
        posterior = self.encoder(frames)
        prior = Independent(Normal(torch.zeros_like(posterior.mean), 1), 1)
        draw = posterior.rsample() if self.training else posterior.mean
        return kl_divergence(posterior, prior) - self.decoder(draw).log_prob(frames)


def vae_means(data: Sequences, params: VaeParams) -> Tensor:
    """(frames, dim) posterior means of a VAE trained on the frames of train."""
    seed = zlib.crc32(f"{params.seed} vae {params.dim}".encode())
    torch.manual_seed(seed)
    model = FrameVae(data.dim, params.dim, params.width)
    train, validation = (
        make_batches(data.select(split), 0, 0, params.batch_frames)
        for split in ("train", "validation")
    )
    fit(model, train, validation, params.training, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model.encoder(data.frames).mean


def rivals(data: Sequences, params: VaeParams) -> dict[str, Tensor]:
    """Coordinates of every rival of one dimension, by name."""
    leading, slow = principal(data, params.dim), slow_features(data, params.dim)
    return {
        "pca": leading,
        "average_2": moving_average(data, leading, 2),
        "slow": slow,
        **{f"slow_average_{n}": moving_average(data, slow, n) for n in SLOW_AVERAGES},
        "vae": vae_means(data, params),
    }
