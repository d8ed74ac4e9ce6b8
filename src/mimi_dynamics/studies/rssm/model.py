"""The recurrent state-space model: an easy causal state, and a local innovation under a budget.

z_dyn,t = e(x_≤t) is the state on which an autoregressive model works. z_rec,t is the part of x_t
that the state leaves open; it is drawn from p(z_rec | z_dyn) where x_t is not known. The model
follows Hafner et al. 2019 (PlaNet, arXiv 1811.04551), but without actions, and with a state that is
a function of the frames. `recursive.py` has the other kind, which its own innovation drives.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.studies.rssm.networks import (
    DiagonalGaussian,
    StateDynamics,
    StateEncoder,
    StateWhitening,
    TwoSpeedEncoder,
)


@dataclass(frozen=True)
class RssmShape:
    """The settings that are needed to build an `Rssm`.

    Attributes:
        dim: number of coordinates of a frame x.
        state_dim: number of coordinates of z_dyn.
        state_stride: number of frames from one update of z_dyn to the next; in between it is held.
        rec_dim: number of coordinates of z_rec.
        width: number of hidden units of every network.
        head: head of the dynamics, a key of `heads.HEADS`.
        components: number of mixture components, if the head is a mixture.
    """

    dim: int
    state_dim: int
    state_stride: int
    rec_dim: int
    width: int
    head: str
    components: int


class Factors(NamedTuple):
    """The factors of frames; all have the same leading dimensions.

    Attributes:
        state: z_dyn with the noise floor, held between updates.
        posterior: q(z_rec | x, z_dyn).
        prior: p(z_rec | z_dyn).
    """

    state: Tensor
    posterior: Independent
    prior: Independent


class Rssm(nn.Module):
    """The model of this module, with its noise floor as part of the state.

    The floor is σ = 0.1 of each whitened coordinate. Without it, a state could look smooth to an
    estimator and yet hide all of x in its last digits.

    Args:
        shape: see `RssmShape`.
    """

    encoder_type: type[StateEncoder] = StateEncoder

    def __init__(self, shape: RssmShape) -> None:
        super().__init__()
        self.shape = shape
        dim, state, rec, width = shape.dim, shape.state_dim, shape.rec_dim, shape.width
        self.encoder = self.encoder_type(dim, state, width)
        self.whitening = StateWhitening(state)
        self.posterior = DiagonalGaussian(dim + state, rec, width)
        self.prior = DiagonalGaussian(state, rec, width)
        # p(x | z_dyn, z_rec) is never sharper than the noise floor of x.
        self.reconstructor = DiagonalGaussian(state + rec, dim, width, floor=NOISE_FLOOR)
        self.dynamics = StateDynamics(state, width, shape.head, shape.components)

    def states(self, frames: Tensor, valid: Tensor | None = None) -> Tensor:
        """Give (clips, updates, state_dim) whitened states without noise, one per `state_stride`.

        Args:
            frames: (clips, time, dim) frames x.
            valid: (clips, time) bool, the frames that count for the whitening in training; None for
                all.
        """
        return self.whitening(self.encoder(frames), valid)[:, :: self.shape.state_stride]

    def known(self, data: Sequences) -> Sequences:
        """Give what the encoder works on, which is the frames."""
        return data

    def hold(self, states: Tensor, time: int) -> Tensor:
        """Repeat states so that every frame has the newest update, (clips, time, state_dim).

        Args:
            states: (clips, updates, state_dim) states.
            time: number of frames.
        """
        return states.repeat_interleave(self.shape.state_stride, 1)[:, :time]

    def factors(self, frames: Tensor, state: Tensor) -> Factors:
        """Give the distributions of the innovation of frames, given their states.

        Args:
            frames: frames x, whose last dimension is `dim`.
            state: the state held at each of these frames.
        """
        return Factors(state, self.posterior(torch.cat([frames, state], -1)), self.prior(state))

    def reconstruct(self, state: Tensor, innovation: Tensor) -> Independent:
        """Give p(x | z_dyn, z_rec), for any leading dimensions.

        Args:
            state: (..., state_dim) states.
            innovation: (..., rec_dim) innovations.
        """
        return self.reconstructor(torch.cat([state, innovation], -1))

    def generate(self, state: Tensor) -> Tensor:
        """Draw one x for every state, with z_rec from the prior; gradients pass through it."""
        return self.reconstruct(state, self.prior(state).rsample()).rsample()


class TwoSpeedRssm(Rssm):
    """An `Rssm` of whose state one half is held for 4 frames."""

    encoder_type = TwoSpeedEncoder
