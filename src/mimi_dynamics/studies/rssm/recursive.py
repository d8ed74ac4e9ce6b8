"""The other kind of state: one that its own innovation drives, so that the KL is what it costs.

z_dyn,t = f(z_dyn,t−1, z_rec,t), with z_rec,t drawn from q(z_rec | x_t, z_dyn,t−1) where x_t is
known and from the prior p(z_rec | z_dyn,t−1) where it is not. This is the recurrent state-space
model of Hafner et al. 2019 (PlaNet, arXiv 1811.04551, equation 4) without actions. Nothing reaches
the state but through z_rec, so that the mean KL(q ‖ p) is all that is new in a frame, in nats, and

    −log p(x_1..T) ≤ Σ_t −log p(x_t | z_dyn,t) + KL_t.

In `model.py`, the state is a function of the frames, and its budget bounds the rest alone.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence
from torch.nn import functional

from mimi_dynamics.evidence.energy_score import energy_of_pair
from mimi_dynamics.latents.sequences import Batch, Sequences
from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.pipeline.params import RssmParams
from mimi_dynamics.studies.rssm.model import Factors
from mimi_dynamics.studies.rssm.networks import DiagonalGaussian, StateWhitening
from mimi_dynamics.studies.rssm.objective import BudgetedTraining

NOISE_SEED = 0  # of the draws of z_rec by which states of given frames are made


@dataclass(frozen=True)
class RecursiveShape:
    """The settings that are needed to build a `RecursiveRssm`.

    Attributes:
        dim: number of coordinates of a frame x.
        state_dim: number of coordinates of z_dyn.
        rec_dim: number of coordinates of z_rec.
        width: number of hidden units of every network.
        state_stride: number of frames from one update of z_dyn to the next; there is one a frame.
    """

    dim: int
    state_dim: int
    rec_dim: int
    width: int
    state_stride: int = 1


class Trajectory(NamedTuple):
    """States along clips.

    Attributes:
        before: (clips, time, state_dim) the state before each frame, zeros before the first.
        after: (clips, time, state_dim) the state with its innovation.
    """

    before: Tensor
    after: Tensor


class Recursion(nn.Module):
    """The state's own recursion: prior, posterior and transition.

    Args:
        shape: see `RecursiveShape`.
    """

    def __init__(self, shape: RecursiveShape) -> None:
        super().__init__()
        self.shape = shape
        dim, state, rec, width = shape.dim, shape.state_dim, shape.rec_dim, shape.width
        self.posterior = DiagonalGaussian(dim + state, rec, width)
        self.prior = DiagonalGaussian(state, rec, width)
        self.inputs = nn.Linear(rec, width)
        self.cell = nn.GRUCell(width, state)

    def forward(self, frames_and_noise: Tensor) -> Tensor:
        """Give the (clips, time, state_dim) states of frames, for given draws.

        Args:
            frames_and_noise: (clips, time, dim + rec_dim) frames x, and beside them draws of
                N(0, 1), by which z_rec is drawn from the posterior.
        """
        frames, noise = frames_and_noise.tensor_split([self.shape.dim], -1)
        return self.run(frames, noise).after

    def run(self, frames: Tensor, noise: Tensor, from_prior: Tensor | None = None) -> Trajectory:
        """Go along clips from their start.

        Args:
            frames: (clips, time, dim) frames x.
            noise: (clips, time, rec_dim) draws of N(0, 1).
            from_prior: (clips, time) bool, where z_rec comes from the prior; None for nowhere.
        """
        state = frames.new_zeros(len(frames), self.shape.state_dim)
        states = [state]
        for time in range(frames.shape[1]):
            now, own_noise = frames[:, time], noise[:, time]
            innovation = drawn(self.posterior(torch.cat([now, state], -1)), own_noise)
            if from_prior is not None:
                own = drawn(self.prior(state), own_noise)
                innovation = torch.where(from_prior[:, time, None], own, innovation)
            state = self.step(state, innovation)
            states.append(state)
        path = torch.stack(states, 1)
        return Trajectory(path[:, :-1], path[:, 1:])

    def step(self, before: Tensor, innovation: Tensor) -> Tensor:
        """Give the next state, f(z_dyn, z_rec), for any leading dimensions."""
        driven = functional.silu(self.inputs(innovation)).flatten(0, -2)
        return self.cell(driven, before.flatten(0, -2)).view_as(before)

    def roll(self, states: Tensor, ahead: int) -> Tensor:
        """Draw the state `ahead` frames after each, with z_rec from the prior.

        Args:
            states: (..., state_dim) states.
            ahead: number of frames.
        """
        for _ in range(ahead):
            states = self.step(states, self.prior(states).rsample())
        return states


def drawn(density: Independent, noise: Tensor) -> Tensor:
    """Give the draw of a diagonal Gaussian that belongs to a draw of N(0, 1)."""
    return density.base_dist.loc + density.base_dist.scale * noise


class RecursiveRssm(nn.Module):
    """The model of this module.

    Its state is whitened only where it is measured: the cell bounds it, and the KL says what it
    costs, so that no noise floor is needed to keep x out of its last digits.

    Args:
        shape: see `RecursiveShape`.
    """

    def __init__(self, shape: RecursiveShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Recursion(shape)
        self.whitening = StateWhitening(shape.state_dim)
        # As in `Rssm`, p(x | z_dyn) is never sharper than the noise floor of x.
        self.reconstructor = DiagonalGaussian(
            shape.state_dim, shape.dim, shape.width, floor=NOISE_FLOOR
        )

    def known(self, data: Sequences) -> Sequences:
        """Put draws of N(0, 1) beside frames, the same for a frame whatever is encoded with it."""
        generator = torch.Generator().manual_seed(NOISE_SEED)
        noise = torch.randn(len(data.frames), self.shape.rec_dim, generator=generator)
        return replace(data, frames=torch.cat([data.frames, noise], -1))

    def factors(self, frames: Tensor, before: Tensor) -> Factors:
        """Give the distributions of the innovation of frames, given the states before them.

        Args:
            frames: frames x, whose last dimension is `dim`.
            before: the state before each of these frames.
        """
        posterior = self.encoder.posterior(torch.cat([frames, before], -1))
        return Factors(before, posterior, self.encoder.prior(before))

    def reconstruct(self, before: Tensor, innovation: Tensor) -> Independent:
        """Give p(x | z_dyn) for the state that an innovation leads to."""
        return self.reconstructor(self.encoder.step(before, innovation))

    def generate(self, before: Tensor) -> Tensor:
        """Draw the next x after every state, with z_rec from the prior; gradients pass."""
        return self.reconstruct(before, self.encoder.prior(before).rsample()).rsample()


class RecursiveTraining(BudgetedTraining):
    """A `RecursiveRssm` with its loss: −log p(x | z_dyn) + β KL(q ‖ p) + rollouts.

    On a `prior_share` of the frames z_rec is drawn from the prior and goes into all later states;
    there the first term is the energy score of two x. Rollouts are states drawn some frames ahead
    with z_rec from the prior alone, whose x are scored likewise. The prior is the dynamics, so that
    there is no term for them besides the KL.

    Args:
        model: the model to train.
        params: the section `rssm`, with the weights of the terms.
        budget: the most nats per frame that z_rec may carry.
        steps: number of steps of the whole training, for the curriculum.
    """

    def __init__(self, model: RecursiveRssm, params: RssmParams, budget: float, steps: int) -> None:
        super().__init__(params, budget, steps)
        self.model: RecursiveRssm = model

    def _losses(self, batch: Batch) -> Tensor:
        model, scored, frames = self.model, batch.scored, batch.context
        noise = torch.randn(*scored.shape, model.shape.rec_dim, device=frames.device)
        blind = None
        if self.training:
            blind = torch.rand(scored.shape, device=frames.device) < self.params.prior_share
        path = model.encoder.run(frames, noise, blind)
        before, after, seen = path.before[scored], path.after[scored], frames[scored]
        density = model.reconstructor(after)
        loss = -density.log_prob(seen)
        if blind is not None:
            unseen = blind[scored]
            one, other = density.rsample()[unseen], model.generate(before[unseen])
            loss = loss.masked_scatter(unseen, energy_of_pair(one, other, seen[unseen]))
        factors = model.factors(seen, before)
        loss = loss + self._price(kl_divergence(factors.posterior, factors.prior))
        return loss + self.params.rollout_weight * self._rollout(path.after, frames)[scored]

    def _rollout(self, states: Tensor, frames: Tensor) -> Tensor:
        """Give the (clips, time) energy score of x decoded from rolled-out states, or 0."""
        scores = frames.new_zeros(frames.shape[:2])
        ahead = self._rollout_length()
        if frames.shape[1] > ahead:
            rolled = [self.model.encoder.roll(states[:, :-ahead], ahead) for _ in range(2)]
            one, other = (self.model.reconstructor(state).rsample() for state in rolled)
            scores[:, ahead:] = energy_of_pair(one, other, frames[:, ahead:])
        return scores
