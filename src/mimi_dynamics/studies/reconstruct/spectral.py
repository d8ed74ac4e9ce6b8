"""A codec without learning, as a reference for ours: principal components of log-mel frames.

Frames are those of Mimi, 80 ms long. Of each frame, the codec keeps the leading principal
components of its log-mel spectra. A chain of k-means codebooks quantises them to the bit rate of
the codec. Sound is restored by the pseudo-inverse of the mel filters and by the phases of Griffin &
Lim (1984, ICASSP).
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
from mimi_dynamics.pipeline.errors import InputError

ITERATIONS = 32
KMEANS_FRAMES = 4096  # number of frames in one batch of k-means


@dataclass(frozen=True)
class SpectralCodec:
    """A codec of principal components, fitted on train frames.

    Attributes:
        mean: (values,) mean of the log-mel values of a frame.
        components: (dim, values) orthonormal rows, sorted by falling variance.
        codebooks: (bins, dim) arrays; each one codes the residual of those before it.
    """

    mean: np.ndarray
    components: np.ndarray
    codebooks: tuple[np.ndarray, ...]

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Encode (samples,) audio as (frames, dim), where frames = ceil(samples / 1920)."""
        return (log_mel_frames(audio) - self.mean) @ self.components.T

    def quantize(self, latents: np.ndarray) -> np.ndarray:
        """Round (frames, dim) latents to what the codebooks can represent."""
        kept = np.zeros_like(latents)
        for codebook in self.codebooks:
            kept += codebook[_nearest(latents - kept, codebook)]
        return kept

    def decode(self, latents: np.ndarray, seed: int = 0) -> np.ndarray:
        """Decode (frames, dim) latents to (frames * 1920,) float32 audio.

        Phases start at random and are then estimated.
        """
        values = latents @ self.components + self.mean
        log_mel = torch.from_numpy(values.reshape(len(values) * COLUMNS, -1).T.copy()).float()
        magnitudes = torch.linalg.pinv(mel_filters(WINDOW)) @ log_mel.exp()
        return _griffin_lim(magnitudes.clamp(min=0), seed).numpy()


def fit_spectral(
    clips: Sequence[np.ndarray],
    gated: Sequence[np.ndarray],
    dim: int,
    codebooks: int,
    bins: int,
    seed: int,
) -> SpectralCodec:
    """Fit the components, then the codebooks one after the other, as in a residual quantiser.

    Args:
        clips: (samples,) audio of each clip.
        gated: (frames,) bool of each clip, which of its frames are left out.
        dim: number of components to keep.
        codebooks: number of codebooks.
        bins: number of codes in each codebook, or fewer if there are not as many frames.
        seed: seed of k-means.

    Raises:
        InputError: all frames are gated.
    """
    frames = np.concatenate([log_mel_frames(clip) for clip in clips])[~np.concatenate(gated)]
    if not len(frames):
        raise InputError("reconstruct: every frame of the clips of train is gated")
    pca = PCA(min(dim, *frames.shape), svd_solver="covariance_eigh").fit(frames)
    left = pca.transform(frames)
    results = []
    for _ in range(codebooks):
        kmeans = MiniBatchKMeans(
            min(bins, len(left)), batch_size=KMEANS_FRAMES, n_init=1, random_state=seed
        )
        results.append(kmeans.fit(left).cluster_centers_)
        left = left - results[-1][_nearest(left, results[-1])]
    return SpectralCodec(pca.mean_, pca.components_, tuple(results))


def _nearest(points: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    distances = torch.cdist(torch.from_numpy(points), torch.from_numpy(codebook))
    return distances.argmin(1).numpy()


def _griffin_lim(magnitudes: Tensor, seed: int) -> Tensor:
    """Find (samples,) audio whose spectrum has the given magnitudes.

    Args:
        magnitudes: (bins, times) magnitudes, in the scale of `mel_spectrum`.
        seed: seed of the initial phases.
    """
    window = torch.hann_window(WINDOW)
    wanted = magnitudes * window.sum()
    generator = torch.Generator().manual_seed(seed)
    phase = torch.exp(2j * np.pi * torch.rand(wanted.shape, generator=generator))
    length = wanted.shape[1] * HOP
    # Windows are centred, as in `mel_spectrum`, so there is one more column than there are hops.
    wanted = torch.nn.functional.pad(wanted, (0, 1))
    phase = torch.nn.functional.pad(phase, (0, 1))
    for _ in range(ITERATIONS):
        audio = torch.istft(wanted * phase, WINDOW, HOP, window=window, length=length)
        spectrum = torch.stft(audio, WINDOW, HOP, window=window, return_complex=True)
        phase = spectrum / spectrum.abs().clamp(min=1e-9)
    return torch.istft(wanted * phase, WINDOW, HOP, window=window, length=length)
