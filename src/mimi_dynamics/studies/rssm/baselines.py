"""Rivals: simple ways to an easy sequence of the same dimension, which a learned state must beat.

Each is causal and gives coordinates for every frame. How easy they are, and how much of x they
keep, is measured by the same code as for the state.
"""

import zlib
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from mimi_dynamics.density.devices import on_device
from mimi_dynamics.density.training import TrainingParams, fit
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.pipeline.devices import CPU, device_at
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, RssmParams
from mimi_dynamics.studies.rssm.networks import DiagonalGaussian

Encode = Callable[[Sequences], Tensor]  # frames x to (frames, dim) coordinates

SLOW_AVERAGES = (2, 4)  # slow features are also averaged over that many frames: 160 and 320 ms


def principal(data: Sequences, dim: int) -> Tensor:
    """Give the (frames, dim) leading principal components of each frame."""
    return data.frames[:, :dim]


def moving_average(data: Sequences, coordinates: Tensor, length: int) -> Tensor:
    """Give the (frames, dim) mean of the coordinates of the newest `length` frames of the clip.

    Args:
        data: the frames x, for the lengths of clips.
        coordinates: (frames, dim) coordinates.
        length: number of frames to average, or fewer at the start of a clip.
    """
    means = []
    for clip in coordinates.split(data.lengths.tolist()):
        total = clip.cumsum(0)
        total = torch.cat([total[:length], total[length:] - total[:-length]])
        count = torch.arange(1, len(clip) + 1).clamp(max=length)
        means.append(total / count[:, None])
    return torch.cat(means)


def slow_directions(data: Sequences, dim: int) -> Tensor:
    """Find the directions of whitened x that change least between frames of train.

    This is linear slow feature analysis (Wiskott & Sejnowski 2002, Neural Computation 14).

    Args:
        data: the frames x of every split.
        dim: number of directions.

    Returns:
        (frame_dim, dim) float64, the slowest first.
    """
    train = data.select("train")
    clip, heard = torch.from_numpy(train.clip_of_frame), ~train.gated
    pairs = (clip[1:] == clip[:-1]) & heard[1:] & heard[:-1]
    changes = train.frames.diff(dim=0)[pairs]
    scatter = torch.cov(train.frames[heard].T.double())
    root = torch.linalg.inv(torch.linalg.cholesky(scatter)).T
    whitened = changes.double() @ root
    _, directions = torch.linalg.eigh(whitened.T @ whitened)  # eigenvalues rise: slowest first
    return root @ directions[:, :dim]


def projected(data: Sequences, directions: Tensor) -> Tensor:
    """Give the (frames, dim) coordinates of frames along (frame_dim, dim) directions."""
    return (data.frames.double() @ directions).float()


class FrameVae(nn.Module):
    """A VAE of single frames (Kingma & Welling 2014): how far a frame alone can be compressed.

    Args:
        frame_dim: number of coordinates of x.
        dim: number of coordinates of the latent.
        width: number of hidden units.
    """

    def __init__(self, frame_dim: int, dim: int, width: int) -> None:
        super().__init__()
        self.encoder = DiagonalGaussian(frame_dim, dim, width)
        self.decoder = DiagonalGaussian(dim, frame_dim, width, floor=NOISE_FLOOR)

    def forward(self, batch: Batch) -> Tensor:
        """Give the (scored,) negative evidence lower bound in nats per frame."""
        frames = batch.context[batch.scored]
        posterior = self.encoder(frames)
        prior = Independent(Normal(torch.zeros_like(posterior.mean), 1), 1)
        draw = posterior.rsample() if self.training else posterior.mean
        return kl_divergence(posterior, prior) - self.decoder(draw).log_prob(frames)


def fit_vae(
    data: Sequences, dim: int, params: RssmParams, seed: int, compute: ComputeParams = PLAIN
) -> FrameVae:
    """Train a VAE on the frames of train.

    Args:
        data: the frames x of every split.
        dim: number of coordinates of the latent.
        params: the section `rssm`, so that the VAE has the width and the training of the models.
        seed: seed of weights, order of batches and draws.
        compute: where to train, and with which number type.
    """
    seed = zlib.crc32(f"{seed} vae {dim}".encode())
    torch.manual_seed(seed)
    model = FrameVae(data.dim, dim, params.width)
    train, validation = (
        make_batches(data.select(split), 0, 0, params.batch_frames)
        for split in ("train", "validation")
    )
    training = TrainingParams(params.lr, params.epochs, compute=compute)
    fit(model, train, validation, training, torch.Generator().manual_seed(seed))
    return model


def vae_means(model: FrameVae, data: Sequences, compute: ComputeParams = PLAIN) -> Tensor:
    """Give the (frames, dim) posterior means of all frames."""
    with torch.no_grad(), on_device(model, compute):
        return model.encoder(data.frames.to(device_at(model))).mean.to(CPU)


def fit_rivals(
    data: Sequences, dim: int, params: RssmParams, seed: int, compute: ComputeParams = PLAIN
) -> dict[str, Encode]:
    """Fit every rival to train, by name; each then gives coordinates of any frames.

    The arguments are those of `fit_vae`.
    """
    slow = partial(projected, directions=slow_directions(data, dim))
    vae = fit_vae(data, dim, params, seed, compute)
    return {
        "pca": partial(principal, dim=dim),
        "average_2": partial(averaged, of=partial(principal, dim=dim), length=2),
        "slow": slow,
        **{f"slow_average_{n}": partial(averaged, of=slow, length=n) for n in SLOW_AVERAGES},
        "vae": partial(vae_means, vae, compute=compute),
    }


def averaged(data: Sequences, of: Encode, length: int) -> Tensor:
    """Give the moving average of some coordinates; see `moving_average`."""
    return moving_average(data, of(data), length)


def rivals(
    data: Sequences, dim: int, params: RssmParams, seed: int, compute: ComputeParams = PLAIN
) -> dict[str, Tensor]:
    """Give the (frames, dim) coordinates of every rival, by name.

    The arguments are those of `fit_vae`.
    """
    fitted = fit_rivals(data, dim, params, seed, compute)
    return {name: encode(data) for name, encode in fitted.items()}
