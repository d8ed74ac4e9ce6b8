"""What a factorisation is trained for: loss terms, the budget of its innovation, and its course."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence
from torch.nn import functional

from mimi_dynamics.evidence.energy_score import energy_of_pair
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.pipeline.devices import draws_of
from mimi_dynamics.pipeline.params import RssmParams
from mimi_dynamics.studies.rssm.ahead import Ahead
from mimi_dynamics.studies.rssm.model import Rssm
from mimi_dynamics.studies.rssm.networks import Budget

EVALUATION_SEED = 0  # a validation loss uses the same draws in every epoch
# Loss for each nat above the budget. It must exceed what a nat of z_rec can save elsewhere. That
# is several nats where a bit of z_rec tells silence from speech, which the Gaussian reconstructor
# cannot do by itself: multipliers up to 5 were seen.
OVERSPENT_WEIGHT = 30.0
CURRICULUM_SHARE = 0.5  # share of training after which rollouts have their full length


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


class BudgetedTraining(nn.Module):
    """What the trainings of all kinds of states share, in the form that the training loop needs.

    It maps a batch to losses of its frames. In evaluation, draws are the same in every epoch, the
    term with β is replaced by a cost of exceeding the budget, and rollouts have their full length,
    so that losses of different epochs can be compared.

    Args:
        params: the section `rssm`, with the weights of the terms.
        budget: the most nats per frame that the innovation may carry.
        steps: number of steps of the whole training, for the curriculum.
    """

    def __init__(self, params: RssmParams, budget: float, steps: int) -> None:
        super().__init__()
        self.params, self.steps = params, steps
        self.budget = Budget(budget)
        self.course = Course()

    def forward(self, batch: Batch) -> Tensor:
        """Give (scored,) losses in nats per frame, for the frames that are scored."""
        if self.training:
            return self._losses(batch)
        with draws_of(EVALUATION_SEED):
            return self._losses(batch)

    def _losses(self, batch: Batch) -> Tensor:
        raise NotImplementedError

    def _price(self, information: Tensor) -> Tensor:
        """Give what (scored,) nats of information cost, and in training ascend and note them."""
        mean = information.mean()
        if not self.training:
            return OVERSPENT_WEIGHT * functional.relu(mean - self.budget.nats_per_frame)
        price = self.budget.multiplier * information
        self.budget.ascend(mean.item())
        self.course.note(mean.item(), self.budget.multiplier)
        return price

    def _rollout_length(self) -> int:
        """Give the length in updates: it grows from 1 in training and is full in evaluation."""
        longest = self.params.rollout_updates
        if not self.training:
            return longest
        progress = len(self.course.multiplier) / (CURRICULUM_SHARE * self.steps)
        return min(longest, 1 + int(progress * longest))


class RssmTraining(BudgetedTraining):
    """A model whose state is a function of the frames, with its loss.

    In training the loss is

        −log p(x | z_dyn, z_rec) + β KL(q ‖ p) + λ (−log p(z_dyn,t | z_dyn,<t)) + rollouts

    where β follows from dual ascent on KL ≤ budget. On a `prior_share` of the frames, the first
    term is the energy score of two x drawn with z_rec from the prior; in evaluation on none.

    Args:
        model: the model to train.
        params: the section `rssm`, with the weights of the terms.
        budget: the most nats per frame that z_rec may carry.
        steps: number of steps of the whole training, for the curriculum.
        ahead: what z_dyn alone must tell of frames to come, added to the loss; None for nothing.
    """

    def __init__(
        self,
        model: Rssm,
        params: RssmParams,
        budget: float,
        steps: int,
        ahead: Ahead | None = None,
    ) -> None:
        super().__init__(params, budget, steps)
        self.model: Rssm = model
        self.ahead = ahead

    def _losses(self, batch: Batch) -> Tensor:
        model, params = self.model, self.params
        updates = model.states(batch.context, batch.scored)
        updates = updates + NOISE_FLOOR * torch.randn_like(updates)
        held = model.hold(updates, batch.context.shape[1])
        frames, scored = batch.context[batch.scored], batch.scored
        factors = model.factors(frames, held[scored])

        innovation = factors.posterior.rsample()
        loss = -model.reconstruct(factors.state, innovation).log_prob(frames)
        if self.training:
            drawn = torch.rand(len(loss), device=loss.device) < params.prior_share
            one, other = (model.generate(factors.state[drawn]) for _ in range(2))
            loss = loss.masked_scatter(drawn, energy_of_pair(one, other, frames[drawn]))
        loss = loss + self._price(kl_divergence(factors.posterior, factors.prior))
        surprise = self._at_updates(model.dynamics.nll(updates), held)
        loss = loss + params.dynamics_weight * surprise[scored]
        loss = loss + params.rollout_weight * self._rollout(updates, batch)[scored]
        if self.ahead is None:
            return loss
        return loss + self.ahead(held, batch.context, scored)[scored]

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
        length = self._rollout_length()
        stride = self.model.shape.state_stride
        if updates.shape[1] <= length:
            return frames
        rolled = [self.model.dynamics.roll(updates, length)[:, :-length] for _ in range(2)]
        target = batch.context[:, ::stride][:, length:]
        one, other = (self.model.generate(state) for state in rolled)
        frames[:, length * stride :: stride] = energy_of_pair(one, other, target)
        return frames
