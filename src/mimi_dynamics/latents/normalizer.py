"""The coordinates in which latents are modelled: leading principal components, whitened."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors


@dataclass(frozen=True)
class Normalizer:
    """z = components (x − mean) / scale.

    Attributes:
        mean: (latent_dim,) of the frames it was fitted on.
        components: (dim, latent_dim) orthonormal rows, by falling variance.
        scale: (dim,) standard deviation along each component.
    """

    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray

    def normalize(self, latents: np.ndarray) -> np.ndarray:
        """(frames, dim) whitened coordinates of (frames, latent_dim) latents, float32."""
        centred = latents.astype(np.float64) - self.mean
        return (centred @ self.components.T / self.scale).astype(np.float32)

    def restore(self, coordinates: np.ndarray) -> np.ndarray:
        """(frames, latent_dim) latents of (frames, dim) coordinates, float32: what is kept."""
        scaled = coordinates.astype(np.float64) * self.scale
        return (scaled @ self.components + self.mean).astype(np.float32)

    def variance_kept(self, latents: np.ndarray) -> float:
        """Share of the variance of (frames, latent_dim) latents that survives the round trip."""
        lost = latents - self.restore(self.normalize(latents))
        total = latents - self.mean
        return 1 - float(np.square(lost).sum() / np.square(total).sum())

    def save(self, path: Path) -> None:
        """Write as safetensors; same values, same bytes."""
        tensors = {name: torch.from_numpy(value) for name, value in vars(self).items()}
        write_tensors(path, tensors, {})


def load_normalizer(path: Path) -> Normalizer:
    """Read what `Normalizer.save` wrote."""
    tensors, _ = read_tensors(path)
    return Normalizer(**{name: tensor.numpy() for name, tensor in tensors.items()})


def fit_normalizer(latents: np.ndarray, dim: int) -> Normalizer:
    """Fit on (frames, latent_dim) latents, keeping `dim` components.

    Raises:
        InputError: if there are fewer latent dimensions, or not more frames, than components.
    """
    if dim > latents.shape[1]:
        raise InputError(f"latents.dim = {dim}: must be at most the codec's {latents.shape[1]}")
    if len(latents) <= dim:
        raise InputError(
            f"latents.dim = {dim}: must be below the {len(latents)} voiced train frames"
        )
    from sklearn.decomposition import PCA  # 2 s to import, which every stage would wait

    pca = PCA(dim, svd_solver="covariance_eigh").fit(latents.astype(np.float64))
    return Normalizer(pca.mean_, pca.components_, np.sqrt(pca.explained_variance_))


def voiced_frames(latents: Latents, range_db: float) -> np.ndarray:
    """(frames,) bool: frames within `range_db` of the loudest frame of their clip.

    Relative to the clip, because recordings differ in level; silence and breath fall out.
    """
    starts = np.concatenate([[0], np.cumsum(latents.lengths)[:-1]])
    loudest = np.maximum.reduceat(latents.rms_db, starts)
    return latents.rms_db >= np.repeat(loudest, latents.lengths) - range_db


def frames_in_split(latents: Latents, split: str) -> np.ndarray:
    """(frames,) bool: frames of the clips of one split."""
    return np.repeat(latents.splits == split, latents.lengths)


def normalized_sequences(
    latents: Latents, normalizer: Normalizer, voiced_range_db: float
) -> Sequences:
    """The latents as models see them."""
    return Sequences(
        frames=torch.from_numpy(normalizer.normalize(latents.values)),
        voiced=torch.from_numpy(voiced_frames(latents, voiced_range_db)),
        lengths=latents.lengths,
        splits=latents.splits,
    )
