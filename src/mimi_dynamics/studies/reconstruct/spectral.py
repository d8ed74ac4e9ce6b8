"""A codec without learning, to place ours by: principal components of log-mel frames.

Frames are Mimi's, 80 ms; what is kept of each are the leading principal components of its log-mel
spectra. A chain of k-means codebooks quantises them to the codec's bit rate. Sound comes back by
the pseudo-inverse of the mel filters and Griffin & Lim's phases (1984, ICASSP).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from torch import Tensor

from mimi_dynamics.codec.log_mel import (
    COLUMNS,
    HOP,
    WINDOW,
    log_mel_frames,
    mel_filters,
)

ITERATIONS = 32
KMEANS_FRAMES = 4096  # in one of its batches


@dataclass(frozen=True)
class SpectralCodec:
    """Fitted on train frames.

    Attributes:
        mean: (values,) of the log-mel values of a frame.
        components: (dim, values) orthonormal rows, by falling variance.
        codebooks: each (bins, dim), of what those before it leave.
    """

    mean: np.ndarray
    components: np.ndarray
    codebooks: tuple[np.ndarray, ...]

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """(frames, dim) of (samples,) audio; frames = ceil(samples / 1920)."""
        return (log_mel_frames(audio) - self.mean) @ self.components.T

    def quantize(self, latents: np.ndarray) -> np.ndarray:
        """(frames, dim) as the codebooks keep them."""
        kept = np.zeros_like(latents)
        for codebook in self.codebooks:
            kept += codebook[_nearest(latents - kept, codebook)]
        return kept

    def decode(self, latents: np.ndarray, seed: int = 0) -> np.ndarray:
        """(frames * 1920,) audio of (frames, dim), float32; phases start at random."""
        values = latents @ self.components + self.mean
        log_mel = torch.from_numpy(values.reshape(len(values) * COLUMNS, -1).T.copy()).float()
        magnitudes = torch.linalg.pinv(mel_filters(WINDOW)) @ log_mel.exp()
        return _griffin_lim(magnitudes.clamp(min=0), seed).numpy()


def fit_spectral(
    clips: Sequence[np.ndarray], dim: int, codebooks: int, bins: int, seed: int
) -> SpectralCodec:
    """Fit components, then codebooks one after the other, as residual quantisers are.

    Args:
        clips: (samples,) audio of each.
        dim: components kept.
        codebooks: how many.
        bins: codes of each; fewer, if there are not as many frames.
        seed: of k-means.
    """
    frames = np.concatenate([log_mel_frames(clip) for clip in clips])
    pca = PCA(min(dim, *frames.shape), svd_solver="covariance_eigh").fit(frames)
    left = pca.transform(frames)
    found = []
    for _ in range(codebooks):
        kmeans = MiniBatchKMeans(
            min(bins, len(left)), batch_size=KMEANS_FRAMES, n_init=1, random_state=seed
        )
        found.append(kmeans.fit(left).cluster_centers_)
        left = left - found[-1][_nearest(left, found[-1])]
    return SpectralCodec(pca.mean_, pca.components_, tuple(found))


def _nearest(points: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    distances = torch.cdist(torch.from_numpy(points), torch.from_numpy(codebook))
    return distances.argmin(1).numpy()


def _griffin_lim(magnitudes: Tensor, seed: int) -> Tensor:
    """(samples,) audio whose spectrum has `magnitudes` (bins, times), of `mel_spectrum`'s scale."""
    window = torch.hann_window(WINDOW)
    wanted = magnitudes * window.sum()
    generator = torch.Generator().manual_seed(seed)
    phase = torch.exp(2j * np.pi * torch.rand(wanted.shape, generator=generator))
    length = wanted.shape[1] * HOP
    # One more column than hops: `mel_spectrum` centres its windows, and so does this.
    wanted = torch.nn.functional.pad(wanted, (0, 1))
    phase = torch.nn.functional.pad(phase, (0, 1))
    for _ in range(ITERATIONS):
        audio = torch.istft(wanted * phase, WINDOW, HOP, window=window, length=length)
        spectrum = torch.stft(audio, WINDOW, HOP, window=window, return_complex=True)
        phase = spectrum / spectrum.abs().clamp(min=1e-9)
    return torch.istft(wanted * phase, WINDOW, HOP, window=window, length=length)
