"""The recurrent state-space model: an easy causal state, and a local innovation under a budget.

z_dyn,t = e(x_≤t) is the state on which an autoregressive model works. z_rec,t is the part of x_t
that the state leaves open; it is drawn from p(z_rec | z_dyn) where x_t is not known. The model
follows Hafner et al. 2019 (PlaNet, arXiv 1811.04551), but without actions, and with a state that is
a function of the frames.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence
from torch.nn import functional

from mimi_dynamics.evidence.energy_score import energy_of_pair
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.pipeline.devices import draws_of
from mimi_dynamics.pipeline.params import RssmParams
from mimi_dynamics.studies.rssm.networks import (
    Budget,
    DiagonalGaussian,
    StateDynamics,
    StateEncoder,
    StateWhitening,
)

EVALUATION_SEED = 0  # a validation loss uses the same draws in every epoch
# Loss for each nat above the budget. It must exceed what a nat of z_rec can save elsewhere. That
# is several nats where a bit of z_rec tells silence from speech, which the Gaussian reconstructor
# cannot do by itself: multipliers up to 5 were seen.
OVERSPENT_WEIGHT = 30.0
CURRICULUM_SHARE = 0.5  # share of training after which rollouts have their full length


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

    def __init__(self, shape: RssmShape) -> None:
        super().__init__()
        self.shape = shape
        dim, state, rec, width = shape.dim, shape.state_dim, shape.rec_dim, shape.width
        self.encoder = StateEncoder(dim, state, width)
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


class RssmTraining(nn.Module):
    """A model with its loss, in the form that the training loop needs.

    It maps a batch to losses of its frames. In training the loss is

        −log p(x | z_dyn, z_rec) + β KL(q ‖ p) + λ (−log p(z_dyn,t | z_dyn,<t)) + rollouts

    where β follows from dual ascent on KL ≤ budget. On a `prior_share` of the frames, the first
    term is the energy score of two x drawn with z_rec from the prior. In evaluation, the term with
    β is replaced by a cost of exceeding the budget, and no frame is drawn from the prior, so that
    losses of different epochs can be compared.

    Args:
        model: the model to train.
        params: the section `rssm`, with the weights of the terms.
        budget: the most nats per frame that z_rec may carry.
        steps: number of steps of the whole training, for the curriculum.
    """

    def __init__(self, model: Rssm, params: RssmParams, budget: float, steps: int) -> None:
        super().__init__()
        self.model, self.params, self.steps = model, params, steps
        self.budget = Budget(budget)
        self.course = Course()

    def forward(self, batch: Batch) -> Tensor:
        """Give (scored,) losses in nats per frame, for the frames that are scored."""
        if self.training:
            return self._losses(batch)
        with draws_of(EVALUATION_SEED):
            return self._losses(batch)

    def _losses(self, batch: Batch) -> Tensor:
        model, params = self.model, self.params
        updates = model.states(batch.context, batch.scored)
        updates = updates + NOISE_FLOOR * torch.randn_like(updates)
        held = model.hold(updates, batch.context.shape[1])
        frames, scored = batch.context[batch.scored], batch.scored
        factors = model.factors(frames, held[scored])

        innovation = factors.posterior.rsample()
        loss = -model.reconstruct(factors.state, innovation).log_prob(frames)
        information = kl_divergence(factors.posterior, factors.prior)
        if self.training:
            drawn = torch.rand(len(loss), device=loss.device) < params.prior_share
            one, other = (model.generate(factors.state[drawn]) for _ in range(2))
            loss = loss.masked_scatter(drawn, energy_of_pair(one, other, frames[drawn]))
            loss = loss + self.budget.multiplier * information
            self.budget.ascend(information.mean().item())
            self.course.note(information.mean().item(), self.budget.multiplier)
        else:
            overspent = functional.relu(information.mean() - self.budget.nats_per_frame)
            loss = loss + OVERSPENT_WEIGHT * overspent
        surprise = self._at_updates(model.dynamics.nll(updates), held)
        loss = loss + params.dynamics_weight * surprise[scored]
        return loss + params.rollout_weight * self._rollout(updates, batch)[scored]

    def _at_updates(self, values: Tensor, held: Tensor) -> Tensor:
        """Place (clips, updates) values at the frames of the updates, with 0 in between.

        Returns:
            (clips, time) values.
        """
        frames = held.new_zeros(held.shape[:2])
        frames[:, :: self.model.shape.state_stride] = values
        return frames

    def _rollout(self, updates: Tensor, batch: Batch) -> Tensor:
        """Give the (clips, time) energy score of x decoded from rolled-out states, or 0.

        It is 0 at frames that no rollout reaches.
        """
        frames = batch.context.new_zeros(batch.scored.shape)
        ahead = self._rollout_length()
        stride = self.model.shape.state_stride
        if updates.shape[1] <= ahead:
            return frames
        rolled = [self.model.dynamics.roll(updates, ahead)[:, :-ahead] for _ in range(2)]
        target = batch.context[:, ::stride][:, ahead:]
        one, other = (self.model.generate(state) for state in rolled)
        frames[:, ahead * stride :: stride] = energy_of_pair(one, other, target)
        return frames

    def _rollout_length(self) -> int:
        """Give the length in updates: it grows from 1 in training and is full in evaluation."""
        longest = self.params.rollout_updates
        if not self.training:
            return longest
        progress = len(self.course.multiplier) / (CURRICULUM_SHARE * self.steps)
        return min(longest, 1 + int(progress * longest))


@dataclass
class Course:
    """How the budget was met, step by step.

    Attributes:
        kl: KL in nats per frame.
        multiplier: the multiplier β.
    """

    kl: list[float] = field(default_factory=list)
    multiplier: list[float] = field(default_factory=list)

    def note(self, kl: float, multiplier: float) -> None:
        """Add the KL of one training step, and the multiplier after it."""
        self.kl.append(kl)
        self.multiplier.append(multiplier)
