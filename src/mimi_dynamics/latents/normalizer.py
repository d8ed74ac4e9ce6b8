"""Fit and apply the coordinates in which latents are modelled: whitened principal components."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import choose_evenly
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors

# Components are fitted to no more, six hours of speech, from which each variance is known to 0.3 %.
FITTED_FRAMES = 2**18


@dataclass(frozen=True)
class Normalizer:
    """Whitens latents: z = components (x − mean) / scale.

    Attributes:
        mean: (latent_dim,) mean of the frames that it was fitted on.
        components: (dim, latent_dim) orthonormal rows, sorted by falling variance.
        scale: (dim,) standard deviation along each component.
    """

    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray

    def normalize(self, latents: np.ndarray) -> np.ndarray:
        """Whiten `latents` (frames, latent_dim), and give (frames, dim) float32."""
        centred = latents.astype(np.float64) - self.mean
        return (centred @ self.components.T / self.scale).astype(np.float32)

    def restore(self, coordinates: np.ndarray) -> np.ndarray:
        """Turn `coordinates` (frames, dim) back into latents (frames, latent_dim), float32.

        The part of a latent that lies outside the components is lost.
        """
        scaled = coordinates.astype(np.float64) * self.scale
        return (scaled @ self.components + self.mean).astype(np.float32)

    def variance_kept(self, latents: np.ndarray) -> float:
        """Give the share of the variance of `latents` that `normalize` and `restore` keep.

        Args:
            latents: (frames, latent_dim).
        """
        lost = latents - self.restore(self.normalize(latents))
        total = latents - self.mean
        return 1 - float(np.square(lost).sum() / np.square(total).sum())

    def save(self, path: Path) -> None:
        """Write the normaliser as safetensors. The same values give the same bytes."""
        tensors = {name: torch.from_numpy(value) for name, value in vars(self).items()}
        write_tensors(path, tensors, {})


def load_normalizer(path: Path) -> Normalizer:
    """Read a normaliser that `Normalizer.save` wrote."""
    tensors, _ = read_tensors(path)
    return Normalizer(**{name: tensor.numpy() for name, tensor in tensors.items()})


def fit_normalizer(latents: np.ndarray, dim: int) -> Normalizer:
    """Fit a normaliser that keeps the leading principal components.

    Args:
        latents: (frames, latent_dim).
        dim: number of components to keep.

    Raises:
        InputError: `dim` is above the number of latent dimensions, or not below the number of
            frames.
    """
    if dim > latents.shape[1]:
        raise InputError(f"latents.dim = {dim}: must be at most the codec's {latents.shape[1]}")
    if len(latents) <= dim:
        raise InputError(
            f"latents.dim = {dim}: must be below the {len(latents)} voiced train frames"
        )
    # This import takes 2 s, for which every stage would wait if it were at the top.
    from sklearn.decomposition import PCA

    pca = PCA(dim, svd_solver="covariance_eigh").fit(latents.astype(np.float64))
    return Normalizer(pca.mean_, pca.components_, np.sqrt(pca.explained_variance_))


def voiced_frames(latents: Latents, range_db: float) -> np.ndarray:
    """Tell which frames are voiced, that is, within `range_db` dB of their clip's loudest frame.

    Silence and breath are not voiced, nor is a gated frame, which is not asked for the loudest
    either. The range is relative to the clip because recordings differ in level.

    Returns:
        (frames,) bool.
    """
    starts = np.concatenate([[0], np.cumsum(latents.lengths)[:-1]])
    levels = np.where(latents.gated, np.float32(-np.inf), latents.rms_db)
    loudest = np.maximum.reduceat(levels, starts)
    loud = latents.rms_db >= np.repeat(loudest, latents.lengths) - range_db
    return loud & ~latents.gated


def levels_known(latents: Latents) -> bool:
    """Tell whether it is known how loud frames are; of latents without audio it may not be."""
    return bool((latents.rms_db != latents.rms_db[0]).any())


def frames_in_split(latents: Latents, split: str) -> np.ndarray:
    """Tell which frames belong to clips of one split, as (frames,) bool."""
    return np.repeat(latents.splits == split, latents.lengths)


def some_frames(marked: np.ndarray) -> np.ndarray:
    """Keep at most `FITTED_FRAMES` of the frames that (frames,) bool marks, evenly spaced."""
    frames = np.flatnonzero(marked)
    kept = np.zeros_like(marked)
    kept[frames[choose_evenly(len(frames), FITTED_FRAMES)]] = True
    return kept


def normalized_sequences(
    latents: Latents, normalizer: Normalizer, voiced_range_db: float
) -> Sequences:
    """Turn latents into the whitened sequences that models see.

    Args:
        latents: the latents as encoded.
        normalizer: what whitens them.
        voiced_range_db: see `voiced_frames`.
    """
    return Sequences(
        frames=torch.from_numpy(normalizer.normalize(latents.values[:])),
        voiced=torch.from_numpy(voiced_frames(latents, voiced_range_db)),
        gated=torch.from_numpy(latents.gated),
        lengths=latents.lengths,
        splits=latents.splits,
        frame_rate=latents.info["frame_rate"],
    )
