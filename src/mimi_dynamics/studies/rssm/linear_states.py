"""Rivals that remember: linear states of more than one frame, which the study of bet 2 adds."""

from functools import partial

import torch
from torch import Tensor

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.states import SHRINKAGE
from mimi_dynamics.studies.rssm.baselines import Encode, projected, slow_directions
from mimi_dynamics.studies.rssm.networks import windows

DELAYS = 3  # a delay line holds slow features of the newest frame and of so many before it
PAST, FUTURE = 8, 4  # frames: as far back as the linear part of a state's encoder hears


def fit_linear_states(data: Sequences, dim: int) -> dict[str, Encode]:
    """Fit both rivals to train, by name.

    Args:
        data: the frames x of every split.
        dim: number of coordinates of the state, a multiple of `DELAYS` + 1.
    """
    features = slow_directions(data, dim // (DELAYS + 1))
    return {
        "delay_line": partial(delay_line, directions=features),
        "state_space": partial(seen_through, directions=predictive_directions(data, dim)),
    }


def delay_line(data: Sequences, directions: Tensor) -> Tensor:
    """Give slow features of the newest frame and of `DELAYS` before it, (frames, 4 · features)."""
    return newest(data, projected(data, directions), DELAYS + 1)


def seen_through(data: Sequences, directions: Tensor) -> Tensor:
    """Give the (frames, dim) state of the newest `PAST` frames along given directions."""
    return (newest(data, data.frames, PAST).double() @ directions).float()


def predictive_directions(data: Sequences, dim: int) -> Tensor:
    """Find what in the past of train is most correlated with its future.

    The state of a linear state-space model is spanned by the leading canonical variables of past
    and future (Akaike 1976; subspace identification, Larimore 1990, CDC).

    Args:
        data: the frames x of every split.
        dim: number of coordinates of the state.

    Returns:
        (PAST · frame_dim, dim) float64, the most correlated first.
    """
    train = data.select("train")
    clip, heard = torch.from_numpy(train.clip_of_frame), ~train.gated
    steps = torch.arange(FUTURE + 1)
    now = torch.arange(len(clip) - FUTURE)
    frames = now[:, None] + steps
    now = now[(clip[frames] == clip[now, None]).all(1) & heard[frames].all(1)]
    past = newest(train, train.frames, PAST)[now].double()
    future = train.frames[now[:, None] + steps[1:]].flatten(1).double()
    past, future = past - past.mean(0), future - future.mean(0)
    of_past, of_future = inverse_root(past), inverse_root(future)
    left, _, _ = torch.linalg.svd(of_past.T @ (past.T @ future / len(past)) @ of_future)
    return of_past @ left[:, :dim]


def inverse_root(rows: Tensor) -> Tensor:
    """Give the matrix that whitens centred (rows, dim), as rows times it."""
    covariance = rows.T @ rows / len(rows)
    shrunk = covariance + SHRINKAGE * covariance.diagonal().mean() * torch.eye(
        len(covariance), dtype=rows.dtype, device=rows.device
    )
    return torch.linalg.inv(torch.linalg.cholesky(shrunk)).T


def newest(data: Sequences, coordinates: Tensor, length: int) -> Tensor:
    """Join each row with the `length` − 1 before it in its clip, zeros before its start.

    Args:
        data: the frames x, for the lengths of clips.
        coordinates: (frames, dim).
        length: number of rows to join.

    Returns:
        (frames, length · dim), the oldest first.
    """
    clips = coordinates.split(data.lengths.tolist())
    return torch.cat([windows(clip[None], length)[0] for clip in clips])
